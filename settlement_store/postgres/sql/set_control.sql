-- Store that a batch is paused, or is being aborted, or is not.
UPDATE batches SET is_paused = $2, is_aborting = $3, action_no = $4 WHERE batch_no = $1
