-- Store a closed chunk's control totals, summed from its items: those without an exception are settled.
INSERT INTO chunk_totals (batch_no, chunk_index, outcome, currency, order_count, amount_minor)
SELECT $1, $2, coalesce(exception.outcome, 'settled') AS outcome, currency, count(*), sum(amount_minor)
FROM items
LEFT JOIN (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $3 AND item_no < $4
) AS exception USING (item_no)
WHERE batch_no = $1 AND item_no >= $3 AND item_no < $4
GROUP BY 3, 4
ON CONFLICT (batch_no, chunk_index, outcome, currency) DO UPDATE SET
    order_count = excluded.order_count,
    amount_minor = excluded.amount_minor
RETURNING outcome, currency, order_count, amount_minor
