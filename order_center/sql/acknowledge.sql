-- Take orders off the unacknowledged list where the listed version is still the one that was read.
-- The rows are locked in order_id order, so that this waits for a load or another acknowledgement and never deadlocks.
WITH read AS MATERIALIZED (
    SELECT order_id, version FROM unnest(string_to_array($1, E'\x1f'), $2::text::bigint[]) AS r (order_id, version)
    ORDER BY order_id COLLATE "C"
), acknowledged AS MATERIALIZED (
    SELECT listed.row_place
    FROM read
    CROSS JOIN LATERAL (
        SELECT ctid AS row_place FROM unacknowledged_orders
        WHERE order_id = read.order_id AND version = read.version
        FOR UPDATE
    ) AS listed
)
DELETE FROM unacknowledged_orders WHERE ctid = ANY (ARRAY(SELECT row_place FROM acknowledged))
