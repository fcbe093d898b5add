-- Take orders off the unacknowledged list if the listed version is still the one that was read.
-- It runs with look-ups by index alone (`database.pools.look_up_by_index`): one sweep of the index locks the rows in
-- order_id order, so the statement waits for a load or another acknowledgement and cannot deadlock. IS TRUE keeps the
-- planner from joining the versions, which would search the index for each order; it hashes them instead.
WITH read AS MATERIALIZED (
    SELECT order_id, version
    FROM unnest(string_to_array($1, E'\x1f') COLLATE "C", $2::text::bigint[]) AS r (order_id, version)
)
DELETE FROM unacknowledged_orders
WHERE order_id = ANY (ARRAY(SELECT order_id FROM read))
    AND ((order_id, version) IN (SELECT order_id, version FROM read)) IS TRUE
