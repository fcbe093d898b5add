-- Reports: a batch's report is kept when the batch is closed, and never changes. What came since is read separately.

ALTER TABLE kept_reports
    -- What came since the closing can no longer be read from a batch's items once it is being pruned. It is kept, too.
    ADD COLUMN since_closing text,
    ADD COLUMN pruning_began_at timestamptz;

-- Until now a report was kept only when its batch's pruning began. Other closed batches have no report, and this
-- migration cannot make one, because their ledger is in another system.
DO $$
BEGIN
    IF EXISTS (SELECT FROM batches WHERE state IN ('closed', 'aborted', 'out_of_balance')) THEN
        RAISE EXCEPTION 'batches were closed by a version that kept no reports; create a new database';
    END IF;
END
$$;

CREATE INDEX batches_reruns ON batches (rerun_of) WHERE rerun_of IS NOT NULL;

-- The one definition of an item's outcome. The planner inlines it.
CREATE FUNCTION item_outcome(pruned_outcome text, exception_outcome text, chunk_state text) RETURNS text
    IMMUTABLE PARALLEL SAFE
    RETURN coalesce(pruned_outcome, exception_outcome, CASE WHEN chunk_state = 'closed' THEN 'settled' ELSE 'pending' END);

CREATE OR REPLACE VIEW item_outcomes AS
SELECT
    item.batch_no,
    item.item_no,
    item.claim_no,
    item.order_id,
    item.account_id,
    item.amount_minor,
    item.currency,
    batch.batch_id,
    batch.opened_at,
    CASE WHEN item.pruned_outcome IS NULL THEN chunk.chunk_index ELSE item.item_no / batch.chunk_size END
        AS chunk_index,
    item_outcome(item.pruned_outcome, exception.outcome, chunk.state) AS outcome,
    coalesce(item.pruned_reason_code, exception.reason_code) AS reason_code,
    item.pruned_outcome IS NOT NULL AS is_pruned,
    chunk.state AS chunk_state
FROM all_items AS item
JOIN batches AS batch ON batch.batch_no = item.batch_no
LEFT JOIN chunk_states AS chunk
    ON chunk.batch_no = item.batch_no
        AND chunk.chunk_index = item.item_no / batch.chunk_size
        AND item.item_no >= chunk.item_start
        AND item.item_no < chunk.item_end
LEFT JOIN exception_items AS exception
    ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no;
