-- Mark a closed or aborted batch as being pruned, unless it already is or has unclosed reruns or undelivered outcomes.
-- The outbox is read in index order, because the planner preferred a full scan for finding any row of a batch.
UPDATE kept_reports SET since_closing = $2, pruning_began_at = now()
FROM batches
WHERE batches.batch_no = kept_reports.batch_no
    AND batches.batch_id = $1
    AND batches.state IN ('closed', 'aborted')
    AND pruning_began_at IS NULL
    AND NOT EXISTS (
        SELECT FROM batches AS rerun WHERE rerun.rerun_of = $1 AND rerun.state IN ('open', 'frozen', 'running')
    )
    AND (SELECT step FROM outbox WHERE outbox.batch_no = batches.batch_no ORDER BY item_start LIMIT 1) IS NULL
