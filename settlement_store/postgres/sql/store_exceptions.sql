-- Store exception items of a batch; fewer rows than given mean that an item has an outcome already.
INSERT INTO exception_items (batch_no, item_no, outcome, reason_code, detail)
SELECT $1, item_no, outcome, reason_code, detail
FROM jsonb_to_recordset($2) AS e (item_no integer, outcome text, reason_code text, detail text)
ON CONFLICT (batch_no, item_no) DO NOTHING
