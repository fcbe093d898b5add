-- Group a range of a batch's items by outcome and currency, and by whether they are their order's latest item.
SELECT
    coalesce(exception.outcome, CASE WHEN chunk.chunk_index IS NOT NULL THEN 'settled' ELSE 'pending' END) AS outcome,
    item.currency,
    claim.order_id IS NOT NULL AS is_latest,
    sum(item.amount_minor)::bigint AS amount_minor,
    array_agg(item.order_id) AS order_ids
FROM items AS item
LEFT JOIN LATERAL (
    SELECT order_id FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
) AS claim ON true
LEFT JOIN (
    SELECT chunk_index, item_start, item_end FROM chunk_states
    WHERE batch_no = $1 AND chunk_index >= $2::integer / $4::integer AND chunk_index <= ($3::integer - 1) / $4::integer AND state = 'closed'
) AS chunk
    ON chunk.chunk_index = item.item_no / $4::integer AND item.item_no >= chunk.item_start AND item.item_no < chunk.item_end
LEFT JOIN (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
) AS exception ON exception.item_no = item.item_no
WHERE item.batch_no = $1 AND item.item_no >= $2 AND item.item_no < $3
GROUP BY 1, 2, 3
