-- Lock one batch's row and read it.
SELECT batch_no, state, item_count, chunk_size
FROM batches
WHERE batch_id = $1
FOR NO KEY UPDATE
