-- Read the newest batches that rerun items of a batch, newest first.
SELECT batch_id FROM batches WHERE rerun_of = $1 ORDER BY batch_no DESC LIMIT $2
