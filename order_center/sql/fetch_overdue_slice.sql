-- Read the next slice of the unacknowledged list up to the cutoff, each order with its record.
-- Payload and version are of the same row of orders, so they belong together whatever the list says of the order.
-- The list is cut before it meets the cutoff, and the cursor is hidden in sub-selects, so that no statistics, fresh or
-- stale, make sorting the whole list look cheaper than reading a slice in index order. OFFSET 0 keeps the planner from
-- joining the whole table instead of looking each order up.
SELECT
    record.order_id,
    record.account_id,
    record.paid_minor - record.refunded_minor AS amount_minor,
    record.currency,
    listed.after_sale_ends_at,
    record.version
FROM (
    SELECT order_id, after_sale_ends_at FROM unacknowledged_orders
    WHERE (after_sale_ends_at, order_id)
        > ((SELECT coalesce($2::timestamptz, '-infinity')), (SELECT coalesce($3::text, '')))
    ORDER BY after_sale_ends_at, order_id
    LIMIT $4
) AS listed
CROSS JOIN LATERAL (
    SELECT order_id, account_id, paid_minor, refunded_minor, currency, version FROM orders
    WHERE order_id = listed.order_id
    OFFSET 0
) AS record
WHERE listed.after_sale_ends_at < $1
ORDER BY listed.after_sale_ends_at, listed.order_id
