-- Read the next orders' latest items in order_id order.
-- Each claim's batch, item, chunk and exception are looked up by key; joins would scan these tables where statistics lacked.
SELECT
    claim.order_id,
    coalesce(batch_id, '') AS batch_id,
    coalesce(opened_at, 'epoch') AS opened_at,
    CASE
        WHEN item.account_id IS NULL THEN 'missing'
        ELSE coalesce(exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END)
    END AS outcome,
    reason_code,
    coalesce(account_id, '') AS account_id,
    coalesce(amount_minor, 0) AS amount_minor,
    coalesce(currency, '') AS currency
FROM (
    SELECT order_id, batch_no, item_no, claim_no FROM claims WHERE order_id > $1 ORDER BY order_id LIMIT $2
) AS claim
LEFT JOIN LATERAL (
    SELECT batch_id, opened_at, chunk_size FROM batches WHERE batches.batch_no = claim.batch_no OFFSET 0
) AS batch ON true
LEFT JOIN LATERAL (
    SELECT account_id, amount_minor, currency FROM items AS item
    WHERE item.batch_no = claim.batch_no
        AND item.item_no = claim.item_no
        AND item.order_id = claim.order_id
        AND item.claim_no = claim.claim_no
    OFFSET 0
) AS item ON true
LEFT JOIN LATERAL (
    SELECT state FROM chunk_states AS chunk
    WHERE chunk.batch_no = claim.batch_no
        AND chunk.chunk_index = claim.item_no / batch.chunk_size
        AND claim.item_no >= chunk.item_start
        AND claim.item_no < chunk.item_end
    OFFSET 0
) AS chunk ON true
LEFT JOIN LATERAL (
    SELECT outcome, reason_code FROM exception_items AS exception
    WHERE exception.batch_no = claim.batch_no AND exception.item_no = claim.item_no
    OFFSET 0
) AS exception ON true
ORDER BY claim.order_id
