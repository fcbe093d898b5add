-- Read a chunk's state row, with its batch's cutoff and source.
SELECT batches.batch_no, chunk_index, item_start, item_end, chunk_states.state, cutoff_at, source
FROM batches JOIN chunk_states USING (batch_no)
WHERE batch_id = $1 AND chunk_index = $2
