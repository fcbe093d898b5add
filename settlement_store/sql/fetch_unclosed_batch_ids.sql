-- Read the oldest batches that are in no final state.
SELECT batch_id FROM batches WHERE state IN ('open', 'frozen', 'running') ORDER BY batch_no LIMIT $1
