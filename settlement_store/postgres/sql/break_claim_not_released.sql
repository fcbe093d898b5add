-- Find claims that are held although their item is rejected or failed.
SELECT
    'claim_not_released' AS kind,
    order_id AS id,
    format('Item %s of batch %s is %s, but the order''s claim is still held.', item_no, batch_id, outcome) AS detail
FROM all_exceptions
JOIN claims USING (batch_no, item_no)
JOIN batches USING (batch_no)
WHERE is_held AND outcome IN ('rejected', 'failed')
ORDER BY order_id
LIMIT $1
