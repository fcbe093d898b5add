-- Store whether a batch is paused or being aborted, and the number of its latest action.
UPDATE batches SET is_paused = $2, is_aborting = $3, action_no = $4 WHERE batch_no = $1
