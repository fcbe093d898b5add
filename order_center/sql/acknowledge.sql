-- Take orders off the unacknowledged list where the listed version is still the one that was read.
-- Run with look-ups by index alone (`database.pools.look_up_by_index`): then the rows are locked in order_id order, so that this waits for a load or another acknowledgement and never deadlocks.
WITH read AS MATERIALIZED (
    SELECT order_id, version
    FROM unnest(string_to_array($1, E'\x1f') COLLATE "C", $2::text::bigint[]) AS r (order_id, version)
    ORDER BY order_id
)
DELETE FROM unacknowledged_orders AS listed USING read
WHERE listed.order_id = read.order_id AND listed.version = read.version
