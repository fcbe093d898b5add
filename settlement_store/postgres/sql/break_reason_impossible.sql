-- Find held items without a reason for holding, failed ones without that for failing, and others with such a reason.
SELECT
    'reason_impossible' AS kind,
    order_id AS id,
    format('Item %s of batch %s is %s for %s.', item_no, batch_id, outcome, reason_code) AS detail
FROM all_exceptions
JOIN all_items USING (batch_no, item_no)
JOIN batches USING (batch_no)
WHERE (outcome = 'held') <> (reason_code IN ('OUTCOME_UNKNOWN', 'NOT_ATTEMPTED', 'PAYLOAD_CONFLICT'))
    OR (outcome = 'failed') <> (reason_code = 'DATA_ERROR')
ORDER BY order_id
LIMIT $1
