-- Group the orders whose latest item is in a range of a batch by that item's outcome.
SELECT
    coalesce(exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END) AS outcome,
    array_agg(item.order_id) AS order_ids
FROM items AS item
CROSS JOIN LATERAL (
    SELECT FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
) AS claim
LEFT JOIN chunk_states AS chunk ON chunk.batch_no = item.batch_no AND chunk.chunk_index = item.item_no / $4
LEFT JOIN exception_items AS exception ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no
WHERE item.batch_no = $1 AND item.item_no >= $2 AND item.item_no < $3
GROUP BY 1
