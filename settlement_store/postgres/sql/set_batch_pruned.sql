-- Store how far a batch is pruned and, after its last chunk, when.
UPDATE batches SET pruned_chunk_count = $2, pruned_at = CASE WHEN $3 THEN now() END WHERE batch_no = $1
