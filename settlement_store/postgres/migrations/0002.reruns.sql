-- Reruns: batches over exception items of an earlier batch, and the places of an order's earlier items.

ALTER TABLE batches
    DROP CONSTRAINT batches_source_check,
    ADD CONSTRAINT batches_source_check CHECK (source IN ('schedule', 'manual', 'rerun')),
    -- Freezing sets them if the batch was opened without them.
    ALTER COLUMN business_date DROP NOT NULL,
    ALTER COLUMN cutoff_at DROP NOT NULL,
    ADD CONSTRAINT batches_dates_check CHECK (state = 'open' OR (business_date IS NOT NULL AND cutoff_at IS NOT NULL)),
    -- The items that a rerun takes, stored so that a batch can be started again from its row alone.
    ADD COLUMN rerun_of text COLLATE "C",
    ADD COLUMN rerun_outcomes text[] COLLATE "C",
    ADD COLUMN rerun_reason_code text COLLATE "C",
    ADD CONSTRAINT batches_rerun_check CHECK (
        (source = 'rerun') = (rerun_of IS NOT NULL) AND (source = 'rerun') = (rerun_outcomes IS NOT NULL)
    );

-- New batches are refused while too many are not closed.
CREATE INDEX batches_unclosed ON batches (batch_no) WHERE state IN ('open', 'frozen', 'running');

-- True for an item that reruns one whose credit may exist. Null otherwise, because nulls take no space in the row.
ALTER TABLE items ADD COLUMN inherits_unknown boolean;

-- The places of an order's earlier items: one row each time its claim is taken again or moved. An order's first item,
-- which is almost always its only one, costs no row.
CREATE TABLE earlier_items (
    order_id text COLLATE "C" NOT NULL,
    claim_no integer NOT NULL,
    batch_no integer NOT NULL,
    item_no integer NOT NULL,
    PRIMARY KEY (order_id, claim_no)
);

INSERT INTO earlier_items (order_id, claim_no, batch_no, item_no)
SELECT order_id, item.claim_no, item.batch_no, item.item_no
FROM items AS item JOIN claims AS claim USING (order_id)
WHERE item.claim_no < claim.claim_no;
