-- Keep a batch's report, unless one is kept already, a batch that reruns its items is not closed, or an outcome is not delivered.
-- The outbox is read in the order of an index: to find any row of a batch, scanning all looked cheaper.
INSERT INTO kept_reports (batch_no, report)
SELECT batch_no, $2 FROM batches
WHERE batch_id = $1
    AND state IN ('closed', 'aborted')
    AND NOT EXISTS (
        SELECT FROM batches AS rerun WHERE rerun.rerun_of = $1 AND rerun.state IN ('open', 'frozen', 'running')
    )
    AND (SELECT step FROM outbox WHERE outbox.batch_no = batches.batch_no ORDER BY item_start LIMIT 1) IS NULL
ON CONFLICT (batch_no) DO NOTHING
