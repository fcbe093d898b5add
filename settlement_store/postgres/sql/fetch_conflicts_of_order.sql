-- Read the newest conflicting offers of one order, in the order in which their batches were opened.
SELECT batch.batch_id, conflict.account_id, conflict.amount_minor, conflict.currency, conflict.offered_at
FROM (
    SELECT * FROM conflicts WHERE order_id = $1 ORDER BY batch_no DESC LIMIT $2
) AS conflict
CROSS JOIN LATERAL (
    SELECT batch_id FROM batches WHERE batches.batch_no = conflict.batch_no OFFSET 0
) AS batch
ORDER BY conflict.batch_no
