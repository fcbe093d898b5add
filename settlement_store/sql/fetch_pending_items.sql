-- Read the items of a range that have no stored outcome.
SELECT item_no, order_id, account_id, amount_minor, currency, claim_no
FROM items
LEFT JOIN (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
) AS exception USING (item_no)
WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3 AND outcome IS NULL
ORDER BY item_no
