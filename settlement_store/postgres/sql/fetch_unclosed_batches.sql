-- Read the oldest batches in no final state, with their ages.
SELECT
    batch_no, batch_id, source, shown_state AS state, business_date, cutoff_at, chunk_size, window_size, item_count,
    duplicate_count, conflict_count, opened_at, frozen_at, started_at, closed_at,
    rerun_of, array_to_string(rerun_outcomes, ',') AS rerun_outcomes, rerun_reason_code, credits_per_s, action_no,
    extract(epoch FROM now() - opened_at)::float8 AS age_s
FROM batches
WHERE state IN ('open', 'frozen', 'running')
ORDER BY batch_no
LIMIT $1
