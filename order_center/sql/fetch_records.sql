-- Read the records of these orders, one index look-up each; OFFSET 0 keeps the planner from joining the whole table instead.
SELECT
    record.order_id,
    record.account_id,
    record.paid_minor,
    record.refunded_minor,
    record.currency,
    record.status,
    record.after_sale_ends_at,
    record.version
FROM unnest(string_to_array($1, E'\x1f')) AS wanted (order_id)
CROSS JOIN LATERAL (
    SELECT * FROM orders WHERE order_id = wanted.order_id OFFSET 0
) AS record
