-- Set a frozen batch running.
UPDATE batches SET state = 'running', started_at = now() WHERE batch_no = $1 AND state = 'frozen'
