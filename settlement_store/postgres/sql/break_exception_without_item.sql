-- Find exception items whose item does not exist.
SELECT
    'exception_without_item' AS kind,
    format('%s.item-%s', coalesce(batch_id, exception.batch_no::text), exception.item_no) AS id,
    format('The item does not exist, but is stored as %s for %s.', outcome, reason_code) AS detail
FROM exception_items AS exception
LEFT JOIN items AS item USING (batch_no, item_no)
LEFT JOIN batches AS batch USING (batch_no)
WHERE item.order_id IS NULL
ORDER BY exception.batch_no, exception.item_no
LIMIT $1
