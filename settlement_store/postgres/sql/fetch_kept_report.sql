-- Read the report that was kept when a batch began to be pruned.
SELECT report FROM kept_reports JOIN batches USING (batch_no) WHERE batch_id = $1
