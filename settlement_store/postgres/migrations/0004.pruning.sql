-- Pruning: the items of closed batches that are past their retention, moved out of the tables that settling works on.
--
-- Claims stay, so no order is ever settled a second time and no claim number is used again. Plans and chunk totals stay
-- too. A pruned item keeps its payload and its outcome, which the audit and a later offer of its order still need. Only
-- chunk states and the details of exception items are deleted for good.

CREATE TABLE pruned_items (
    order_id text COLLATE "C" NOT NULL,
    claim_no integer NOT NULL,
    batch_no integer NOT NULL,
    item_no integer NOT NULL,
    amount_minor bigint NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('settled', 'rejected', 'failed', 'held')),
    reason_code text COLLATE "C",
    PRIMARY KEY (order_id, claim_no),
    CHECK ((outcome = 'settled') = (reason_code IS NULL))
);

-- The batch's report, kept before its first item is pruned. A batch that has a row here is pruned or being pruned.
CREATE TABLE kept_reports (
    batch_no integer NOT NULL PRIMARY KEY REFERENCES batches,
    report text NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);

-- The progress of pruning: chunks are pruned in order, from the first one.
ALTER TABLE batches ADD COLUMN pruned_chunk_count integer NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN pruned_at timestamptz;
CREATE INDEX batches_unpruned ON batches (closed_at) WHERE state = 'closed' AND pruned_at IS NULL;

-- All items, pruned or not. The view has the outcomes of pruned items only.
CREATE VIEW all_items AS
SELECT
    batch_no, item_no, claim_no, order_id, account_id, amount_minor, currency, inherits_unknown,
    NULL::text AS pruned_outcome, NULL::text AS pruned_reason_code
FROM items
UNION ALL
SELECT
    batch_no, item_no, claim_no, order_id, account_id, amount_minor, currency, NULL,
    outcome, reason_code
FROM pruned_items;

-- All exception items, pruned or not.
CREATE VIEW all_exceptions AS
SELECT batch_no, item_no, outcome, reason_code FROM exception_items
UNION ALL
SELECT batch_no, item_no, outcome, reason_code FROM pruned_items WHERE outcome <> 'settled';

DROP VIEW item_outcomes;
CREATE VIEW item_outcomes AS
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
    coalesce(
        item.pruned_outcome, exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END
    ) AS outcome,
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
