-- Give a running, unpaused batch whose chunks are all closed its final state, chosen by whether it is balanced and was aborted.
UPDATE batches SET
    state = CASE WHEN NOT $2::boolean THEN 'out_of_balance' WHEN is_aborting THEN 'aborted' ELSE 'closed' END,
    closed_at = now()
WHERE batch_id = $1
    AND state = 'running'
    AND NOT is_paused
    AND NOT EXISTS (
        SELECT FROM chunk_states WHERE chunk_states.batch_no = batches.batch_no AND chunk_states.state <> 'closed'
    )
RETURNING batch_no
