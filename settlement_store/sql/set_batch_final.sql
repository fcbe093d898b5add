-- Give a running batch whose chunks are all closed its final state.
UPDATE batches SET state = $2, closed_at = now()
WHERE batch_no = $1
    AND state = 'running'
    AND NOT EXISTS (SELECT FROM chunk_states WHERE chunk_states.batch_no = $1 AND chunk_states.state <> 'closed')
