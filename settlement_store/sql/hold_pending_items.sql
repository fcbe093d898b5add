-- Hold the items of a range that have no outcome.
INSERT INTO exception_items (batch_no, item_no, outcome, reason_code, detail)
SELECT $1, item_no, 'held', $4, $5
FROM items
LEFT JOIN (
    SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
) AS exception USING (item_no)
WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3 AND outcome IS NULL
