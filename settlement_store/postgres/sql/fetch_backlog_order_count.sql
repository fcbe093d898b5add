-- Count the items without an outcome in running, unpaused batches that started or stored a step within an interval.
-- It reads one row for each chunk, and totals only of validated chunks, of which there are no more than are in flight.
-- A batch's chunks are given as a range: whatever the statistics, scanning the table for each batch never looks cheap.
SELECT coalesce(sum(batch.item_count - answered.item_count), 0)::bigint
FROM batches AS batch
CROSS JOIN LATERAL (
    SELECT
        max(stored_at) AS latest_step_at,
        coalesce(sum(
            CASE state
                WHEN 'closed' THEN item_end - item_start
                WHEN 'validated' THEN (
                    SELECT coalesce(sum(order_count), 0) FROM chunk_totals
                    WHERE chunk_totals.batch_no = chunk_states.batch_no
                        AND chunk_totals.chunk_index = chunk_states.chunk_index
                )
            END
        ), 0) AS item_count
    FROM chunk_states
    WHERE (chunk_states.batch_no, chunk_index) >= (batch.batch_no, 0)
        AND (chunk_states.batch_no, chunk_index) < (batch.batch_no, batch.item_count)
) AS answered
WHERE batch.state = 'running'
    AND NOT batch.is_paused
    AND greatest(batch.started_at, answered.latest_step_at) > now() - $1::interval
