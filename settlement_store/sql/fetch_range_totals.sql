-- Sum the items of a range by outcome and currency; without an exception an item is $4 (settled or pending).
SELECT
    coalesce(exception.outcome, $4) AS outcome,
    currency,
    count(*) AS order_count,
    sum(amount_minor)::bigint AS amount_minor
FROM items
LEFT JOIN (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
) AS exception USING (item_no)
WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
GROUP BY 1, 2
