-- Take orders off the unacknowledged list where the listed version is still the one that was read.
-- Run with look-ups by index alone (`database.pools.look_up_by_index`): one sweep of the index, which locks the rows in
-- order_id order, so that this waits for a load or another acknowledgement and never deadlocks. IS TRUE keeps the
-- planner from making a join of the versions, which would search the index for each order; it hashes them.
WITH read AS MATERIALIZED (
    SELECT order_id, version
    FROM unnest(string_to_array($1, E'\x1f') COLLATE "C", $2::text::bigint[]) AS r (order_id, version)
)
DELETE FROM unacknowledged_orders
WHERE order_id = ANY (ARRAY(SELECT order_id FROM read))
    AND ((order_id, version) IN (SELECT order_id, version FROM read)) IS TRUE
