-- Hold the items of a range that have no outcome; items that inherit the unknown get the reason OUTCOME_UNKNOWN.
INSERT INTO exception_items (batch_no, item_no, outcome, reason_code, detail)
SELECT $1, item_no, 'held', CASE WHEN inherits_unknown THEN 'OUTCOME_UNKNOWN' ELSE $4 END, $5
FROM items
WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    AND item_no NOT IN (
        SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    )
