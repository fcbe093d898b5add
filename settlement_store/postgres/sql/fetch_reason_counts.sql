-- Count a batch's exception items by reason.
SELECT reason_code, count(*) AS item_count FROM exception_items WHERE batch_no = $1 GROUP BY 1 ORDER BY 1
