-- The Finance Center's batches, items, claims, chunk states and exception items.
--
-- An item's outcome is not stored on the item. An exception item says rejected, failed or held. An item of a closed
-- chunk without an exception item is settled. Any other item is pending. A settled order thus costs no row and no
-- update.

CREATE TABLE batches (
    batch_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id text COLLATE "C" NOT NULL UNIQUE,
    source text COLLATE "C" NOT NULL CHECK (source IN ('manual')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('open', 'frozen', 'running', 'closed', 'out_of_balance')),
    business_date date NOT NULL,
    cutoff_at timestamptz NOT NULL,
    chunk_size integer NOT NULL CHECK (chunk_size > 0),
    window_size integer NOT NULL CHECK (window_size > 0),
    item_count integer NOT NULL DEFAULT 0,
    duplicate_count bigint NOT NULL DEFAULT 0,
    conflict_count bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL DEFAULT now(),
    frozen_at timestamptz,
    started_at timestamptz,
    closed_at timestamptz
) WITH (fillfactor = 50);

-- The plan: control totals, updated by every append and fixed when the batch is frozen. Freezing sums nothing, so it
-- takes no longer for a hundred million orders than for one.
CREATE TABLE planned_totals (
    batch_no integer NOT NULL REFERENCES batches,
    currency text COLLATE "C" NOT NULL,
    order_count integer NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (batch_no, currency)
);

CREATE TABLE items (
    batch_no integer NOT NULL,
    item_no integer NOT NULL,
    claim_no integer NOT NULL,
    amount_minor bigint NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    PRIMARY KEY (batch_no, item_no)
);

-- The order's latest item, and whether its claim is still held. The row survives the claim's release, so a claim number
-- is never used again.
CREATE TABLE claims (
    order_id text COLLATE "C" NOT NULL PRIMARY KEY,
    batch_no integer NOT NULL,
    item_no integer NOT NULL,
    claim_no integer NOT NULL,
    is_held boolean NOT NULL
) WITH (fillfactor = 90);

CREATE TABLE chunk_states (
    batch_no integer NOT NULL REFERENCES batches,
    chunk_index integer NOT NULL,
    item_start integer NOT NULL,
    item_end integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('planned', 'validated', 'closed')),
    PRIMARY KEY (batch_no, chunk_index),
    CHECK (item_start < item_end)
) WITH (fillfactor = 50);

-- A chunk's control totals, written with its outcomes: those of its exceptions when it is validated, all of them when
-- it is closed. Progress and the loser of a step read them. The audit compares the items with them.
CREATE TABLE chunk_totals (
    batch_no integer NOT NULL,
    chunk_index integer NOT NULL,
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('settled', 'rejected', 'failed', 'held')),
    currency text COLLATE "C" NOT NULL,
    order_count integer NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (batch_no, chunk_index, outcome, currency)
);

CREATE TABLE exception_items (
    batch_no integer NOT NULL,
    item_no integer NOT NULL,
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('rejected', 'failed', 'held')),
    reason_code text COLLATE "C" NOT NULL,
    detail text,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_no, item_no)
);

-- The one definition of every item's outcome. An item's chunk is found by chunk_index, which is indexed; a chunk whose
-- range does not include the item is not its chunk.
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
    chunk.chunk_index,
    coalesce(exception.outcome, CASE WHEN chunk.state = 'closed' THEN 'settled' ELSE 'pending' END) AS outcome,
    exception.reason_code
FROM items AS item
JOIN batches AS batch ON batch.batch_no = item.batch_no
LEFT JOIN chunk_states AS chunk
    ON chunk.batch_no = item.batch_no
        AND chunk.chunk_index = item.item_no / batch.chunk_size
        AND item.item_no >= chunk.item_start
        AND item.item_no < chunk.item_end
LEFT JOIN exception_items AS exception
    ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no;
