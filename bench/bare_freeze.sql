-- Write the least that freezing must write, in one set-based statement: the items, claims and acknowledgements of all overdue orders.
WITH overdue AS MATERIALIZED (
    SELECT
        (row_number() OVER (ORDER BY listed.after_sale_ends_at, listed.order_id) - 1)::integer AS item_no,
        orders.*
    FROM order_center.unacknowledged_orders AS listed JOIN order_center.orders USING (order_id)
), claimed AS (
    INSERT INTO settlement.claims SELECT order_id, 1, item_no, 1, true FROM overdue ORDER BY item_no
), itemised AS (
    INSERT INTO settlement.items
    SELECT 1, item_no, 1, paid_minor - refunded_minor, order_id, account_id, currency FROM overdue ORDER BY item_no
)
DELETE FROM order_center.unacknowledged_orders
