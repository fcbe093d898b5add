-- Move a chunk on, under its lock.
UPDATE chunk_states SET state = $3, stored_at = now() WHERE batch_no = $1 AND chunk_index = $2
