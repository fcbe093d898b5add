-- Read the indexes of a batch's next chunks that are not closed.
SELECT chunk_index FROM chunk_states
WHERE batch_no = $1 AND chunk_index > $2 AND state <> 'closed'
ORDER BY chunk_index
LIMIT $3
