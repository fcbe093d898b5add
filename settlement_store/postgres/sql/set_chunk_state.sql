-- Move a locked chunk to its next state.
UPDATE chunk_states SET state = $3, stored_at = now() WHERE batch_no = $1 AND chunk_index = $2
