-- Lock a chunk's state row and read it; the holder of the lock decides the chunk's next step.
SELECT batches.batch_no, chunk_index, item_start, item_end, chunk_states.state, cutoff_at, source
FROM batches JOIN chunk_states USING (batch_no)
WHERE batch_id = $1 AND chunk_index = $2
FOR NO KEY UPDATE OF chunk_states
