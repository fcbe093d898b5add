-- Lock one batch's row and read how far its pruning is.
SELECT batches.batch_no, item_count, chunk_size, pruned_chunk_count, pruning_began_at IS NOT NULL AS is_being_pruned
FROM batches LEFT JOIN kept_reports USING (batch_no)
WHERE batch_id = $1
FOR NO KEY UPDATE OF batches
