-- Read the first outbox row that is undelivered for at least one of some buckets, which are given as bits.
SELECT outbox_no, batch_id, item_start, item_end, step, stored_at, ~delivered_buckets & $1::integer AS buckets
FROM (
    SELECT outbox_no, batch_no, item_start, item_end, step, stored_at, delivered_buckets
    FROM outbox
    WHERE delivered_buckets & $1::integer <> $1::integer
    ORDER BY outbox_no
    LIMIT 1
) AS first_row
JOIN batches USING (batch_no)
