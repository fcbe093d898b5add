-- Find batches whose items are not as many as were appended, or are not numbered from 0 without a gap.
SELECT
    'item_missing' AS kind,
    coalesce(batch.batch_id, batch_no::text) AS id,
    format(
        '%s items were appended; %s exist, numbered %s to %s.',
        coalesce(batch.item_count, 0), coalesce(item.item_count, 0), item.item_no_min, item.item_no_max
    ) AS detail
FROM batches AS batch
FULL JOIN (
    SELECT batch_no, count(*) AS item_count, min(item_no) AS item_no_min, max(item_no) AS item_no_max
    FROM all_items
    GROUP BY batch_no
) AS item USING (batch_no)
WHERE batch.item_count IS DISTINCT FROM coalesce(item.item_count, 0)
    OR item.item_no_min <> 0
    OR item.item_no_max <> item.item_count - 1
ORDER BY batch_no
LIMIT $1
