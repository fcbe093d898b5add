-- Read the next slice of the unacknowledged list up to the cutoff, each order with its record, and the slice's end.
-- The result is one row of whole columns (`database.columns`). The statement runs with look-ups by index alone
-- (`database.pools.look_up_by_index`) and reads the records in one sweep of their index. Payload and version are from
-- the same row of orders, so they match whatever the list says about the order. The list is cut before the cutoff is
-- applied, and the cursor is hidden in sub-selects: whatever the statistics, fresh or stale, sorting the whole list
-- never looks cheaper than reading a slice in index order.
WITH listed AS MATERIALIZED (
    SELECT order_id, after_sale_ends_at
    FROM (
        SELECT order_id, after_sale_ends_at FROM unacknowledged_orders
        WHERE (after_sale_ends_at, order_id)
            > ((SELECT coalesce($2::timestamptz, '-infinity')), (SELECT coalesce($3::text, '')))
        ORDER BY after_sale_ends_at, order_id
        LIMIT $4
    ) AS following
    WHERE after_sale_ends_at < $1
), last AS (
    SELECT after_sale_ends_at, order_id FROM listed ORDER BY after_sale_ends_at DESC, order_id DESC LIMIT 1
)
SELECT
    string_agg(order_id, E'\x1f') AS order_ids,
    string_agg(account_id, E'\x1f') AS account_ids,
    string_agg(int8send(due_minor), '') AS amounts_minor,
    string_agg(currency, E'\x1f') AS currencies,
    string_agg(int8send(version), '') AS versions,
    (SELECT after_sale_ends_at FROM last) AS last_ends_at,
    (SELECT order_id FROM last) AS last_order_id
FROM orders
WHERE order_id = ANY (ARRAY(SELECT order_id FROM listed))
