-- Sum a batch's items by outcome and currency; what a chunk that is not closed has without an exception is pending.
SELECT
    coalesce(exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END) AS outcome,
    item.currency,
    count(*) AS order_count,
    sum(item.amount_minor)::bigint AS amount_minor
FROM items AS item
LEFT JOIN chunk_states AS chunk ON chunk.batch_no = item.batch_no AND chunk.chunk_index = item.item_no / $2
LEFT JOIN exception_items AS exception ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no
WHERE item.batch_no = $1
GROUP BY 1, 2
