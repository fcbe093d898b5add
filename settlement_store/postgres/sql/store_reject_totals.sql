-- Store the control totals of the exceptions that validation found in a chunk.
INSERT INTO chunk_totals (batch_no, chunk_index, outcome, currency, order_count, amount_minor)
SELECT $1, $2, exception.outcome, item.currency, count(*), sum(item.amount_minor)
FROM (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $3 AND item_no < $4
) AS exception
CROSS JOIN LATERAL (
    SELECT currency, amount_minor FROM items WHERE batch_no = $1 AND items.item_no = exception.item_no OFFSET 0
) AS item
GROUP BY exception.outcome, item.currency
RETURNING outcome, currency, order_count, amount_minor
