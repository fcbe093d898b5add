-- Read one order's record, and whether it is on the unacknowledged list.
SELECT
    order_id,
    account_id,
    paid_minor,
    refunded_minor,
    due_minor AS amount_minor,
    currency,
    status,
    completed_at,
    after_sale_ends_at,
    version,
    EXISTS (SELECT FROM unacknowledged_orders WHERE unacknowledged_orders.order_id = $1) AS is_offered
FROM orders
WHERE order_id = $1
