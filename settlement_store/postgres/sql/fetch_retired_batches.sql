-- Read the oldest closed or aborted batches past their retention, with everything that still prevents their pruning.
-- That is the items still held, the reruns that are not closed, and the outbox rows that are not delivered.
SELECT
    batch.batch_id,
    batch.closed_at,
    batch.item_count,
    held.item_count AS held_count,
    (
        SELECT count(*) FROM batches AS rerun
        WHERE rerun.rerun_of = batch.batch_id AND rerun.state IN ('open', 'frozen', 'running')
    ) AS unclosed_rerun_count,
    (SELECT count(*) FROM outbox WHERE outbox.batch_no = batch.batch_no) AS undelivered_count
FROM (
    SELECT batch_no, batch_id, closed_at, item_count FROM batches
    WHERE state IN ('closed', 'aborted') AND pruned_at IS NULL AND closed_at <= now() - $1::interval AND (closed_at, batch_id) > ($2, $3)
    ORDER BY closed_at, batch_id
    LIMIT $4
) AS batch
CROSS JOIN LATERAL (
    SELECT count(*) AS item_count
    FROM exception_items AS exception
    CROSS JOIN LATERAL (
        SELECT order_id, claim_no FROM items
        WHERE items.batch_no = exception.batch_no AND items.item_no = exception.item_no
        OFFSET 0
    ) AS item
    CROSS JOIN LATERAL (
        SELECT FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
    ) AS claim
    WHERE (exception.batch_no, exception.item_no) >= (batch.batch_no, 0)
        AND (exception.batch_no, exception.item_no) < (batch.batch_no, batch.item_count)
        AND exception.outcome = 'held'
) AS held
ORDER BY batch.closed_at, batch.batch_id
