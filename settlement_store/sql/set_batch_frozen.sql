-- Freeze a batch.
UPDATE batches SET state = 'frozen', frozen_at = now() WHERE batch_no = $1
