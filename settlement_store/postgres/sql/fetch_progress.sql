-- Count a batch's progress from its chunk states and their stored totals, without reading the items.
SELECT
    batch.shown_state AS state,
    batch.item_count AS planned,
    total.settled,
    total.rejected,
    total.failed,
    total.held,
    batch.pruned_chunk_count + chunk.chunk_count AS chunk_count,
    batch.pruned_chunk_count + chunk.chunk_closed_count AS chunk_closed_count
FROM batches AS batch
CROSS JOIN LATERAL (
    SELECT
        count(*) AS chunk_count,
        count(*) FILTER (WHERE state = 'closed') AS chunk_closed_count
    FROM chunk_states
    WHERE chunk_states.batch_no = batch.batch_no
) AS chunk
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(order_count) FILTER (WHERE outcome = 'settled'), 0) AS settled,
        coalesce(sum(order_count) FILTER (WHERE outcome = 'rejected'), 0) AS rejected,
        coalesce(sum(order_count) FILTER (WHERE outcome = 'failed'), 0) AS failed,
        coalesce(sum(order_count) FILTER (WHERE outcome = 'held'), 0) AS held
    FROM chunk_totals
    WHERE chunk_totals.batch_no = batch.batch_no
) AS total
WHERE batch.batch_id = $1
