-- Keep a batch's reconciliation, unless one is kept already, a batch that reruns its items is not closed, or an outcome is not delivered.
INSERT INTO kept_reports (batch_no, report)
SELECT batch_no, $2 FROM batches
WHERE batch_id = $1
    AND state = 'closed'
    AND NOT EXISTS (
        SELECT FROM batches AS rerun WHERE rerun.rerun_of = $1 AND rerun.state IN ('open', 'frozen', 'running')
    )
    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.batch_no = batches.batch_no OFFSET 0)
ON CONFLICT (batch_no) DO NOTHING
