-- Read the next slice of the unacknowledged list up to the cutoff, each order with its record, as one row of whole columns (`database.columns`), and the place of the last.
-- Run with look-ups by index alone (`database.pools.look_up_by_index`): the records are read in one sweep of theirs.
-- Payload and version are of the same row of orders, so they belong together whatever the list says of the order.
-- The list is cut before it meets the cutoff, and the cursor is hidden in sub-selects, so that no statistics, fresh or
-- stale, make sorting the whole list look cheaper than reading a slice in index order.
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
