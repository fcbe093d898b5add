-- Lock one batch's row and read it, and the time by which the database will stamp what is written to it.
SELECT batch_no, state, item_count, chunk_size, now() AS locked_at
FROM batches
WHERE batch_id = $1
FOR NO KEY UPDATE
