-- Find batches that were frozen before their cutoff.
SELECT
    'cutoff_after_freezing' AS kind,
    batch_id AS id,
    format('The batch was frozen at %s, before its cutoff %s.', frozen_at, cutoff_at) AS detail
FROM batches
WHERE frozen_at < cutoff_at
ORDER BY batch_no
LIMIT $1
