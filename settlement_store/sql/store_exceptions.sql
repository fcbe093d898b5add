-- Store exception items of a batch; fewer rows than given means that an item has an outcome already.
INSERT INTO exception_items (batch_no, item_no, outcome, reason_code, detail)
SELECT $1, item_no, outcome, reason_code, detail
FROM unnest($2::integer[], $3::text[], $4::text[], $5::text[]) AS e (item_no, outcome, reason_code, detail)
ON CONFLICT (batch_no, item_no) DO NOTHING
