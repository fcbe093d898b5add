-- Read the reports of those of these batches that are closed, with what was kept when their pruning began.
SELECT batch_id, report, since_closing, pruning_began_at
FROM batches JOIN kept_reports USING (batch_no)
WHERE batch_id = ANY ($1::text[])
