-- Lock one batch's row and read it, with the time that the database will put on rows written in this transaction.
SELECT batch_no, state, item_count, chunk_size, cutoff_at, now() AS locked_at
FROM batches
WHERE batch_id = $1
FOR NO KEY UPDATE
