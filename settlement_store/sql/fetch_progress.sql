-- Count a batch's progress from its chunk states and exception items, without touching the items.
WITH batch AS (
    SELECT batch_no, state, item_count FROM batches WHERE batch_id = $1
), chunk AS (
    SELECT
        count(*) AS chunk_count,
        count(*) FILTER (WHERE chunk_states.state = 'closed') AS chunk_closed_count,
        coalesce(sum(item_end - item_start) FILTER (WHERE chunk_states.state = 'closed'), 0)::bigint AS closed_item_count
    FROM batch JOIN chunk_states USING (batch_no)
), exception AS (
    SELECT
        count(*) FILTER (WHERE outcome = 'rejected') AS rejected,
        count(*) FILTER (WHERE outcome = 'failed') AS failed,
        count(*) FILTER (WHERE outcome = 'held') AS held
    FROM batch JOIN exception_items USING (batch_no)
), unclosed_exception AS (
    SELECT count(*) AS item_count
    FROM batch
    JOIN chunk_states USING (batch_no)
    JOIN exception_items USING (batch_no)
    WHERE chunk_states.state <> 'closed' AND item_no >= item_start AND item_no < item_end
)
SELECT
    batch.state,
    batch.item_count AS planned,
    closed_item_count - (rejected + failed + held - unclosed_exception.item_count) AS settled,
    rejected,
    failed,
    held,
    chunk_count,
    chunk_closed_count
FROM batch, chunk, exception, unclosed_exception
