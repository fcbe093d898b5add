-- Read the records of these orders, as one row of whole columns (`database.columns`).
-- It runs with look-ups by index alone (`database.pools.look_up_by_index`). The ids are hidden in a sub-select from the
-- planner, which would estimate each of them.
SELECT
    string_agg(order_id, E'\x1f') AS order_ids,
    string_agg(account_id, E'\x1f') AS account_ids,
    string_agg(int8send(paid_minor), '') AS paid_minor,
    string_agg(int8send(refunded_minor), '') AS refunded_minor,
    string_agg(currency, E'\x1f') AS currencies,
    string_agg(status, E'\x1f') AS statuses,
    string_agg(after_sale_ends_at::text, ',') AS after_sale_ends,
    string_agg(int8send(version), '') AS versions
FROM orders
WHERE order_id = ANY ((SELECT string_to_array($1, E'\x1f') COLLATE "C")::text[])
