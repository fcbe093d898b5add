-- Read the next orders' latest items in order_id order.
SELECT
    claim.order_id,
    batch_id,
    CASE
        WHEN item.order_id IS DISTINCT FROM claim.order_id THEN 'missing'
        ELSE coalesce(exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END)
    END AS outcome,
    coalesce(item.account_id, '') AS account_id,
    coalesce(item.amount_minor, 0) AS amount_minor,
    coalesce(item.currency, '') AS currency
FROM (SELECT * FROM claims WHERE order_id > $1 ORDER BY order_id LIMIT $2) AS claim
JOIN batches AS batch ON batch.batch_no = claim.batch_no
LEFT JOIN items AS item ON item.batch_no = claim.batch_no AND item.item_no = claim.item_no
LEFT JOIN chunk_states AS chunk
    ON chunk.batch_no = claim.batch_no AND chunk.chunk_index = claim.item_no / batch.chunk_size
LEFT JOIN exception_items AS exception
    ON exception.batch_no = claim.batch_no AND exception.item_no = claim.item_no
ORDER BY claim.order_id
