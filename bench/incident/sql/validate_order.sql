-- Fetch an order that may be credited, by a column without an index.
SELECT account_id, amount_minor FROM shared_pool.orders
WHERE order_id = %s AND status = 'completed' AND amount_minor > 0
