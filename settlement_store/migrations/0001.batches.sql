-- The Finance Center's batches, items, claims, chunk states and exception items.
--
-- An item's outcome is not stored on the item: an exception item says rejected, failed or held; an item of a
-- closed chunk without one is settled; any other is pending. So a settled order costs no row and no update.

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

-- The plan: control totals stored when the batch is frozen, never changed.
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

-- The order's latest item, and whether its claim is still held. The row survives the claim's release, so that
-- a claim number is never used again.
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

-- A closed chunk's control totals, written with its outcomes; the audit holds the items against them.
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
