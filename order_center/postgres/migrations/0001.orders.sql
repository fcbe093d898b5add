-- The Order Center's records, and the list of the unacknowledged ones.
--
-- Acknowledging deletes from a narrow list instead of updating the wide record. It thus makes no new row version and no
-- new index entry.

-- Versions come from a sequence, not from the stored version plus one. An order never gets a version twice, even if it
-- is removed and loaded again, so an old acknowledgement can never cover a new record.
CREATE SEQUENCE order_versions;

CREATE TABLE orders (
    order_id text COLLATE "C" NOT NULL PRIMARY KEY,
    account_id text COLLATE "C" NOT NULL,
    paid_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    completed_at timestamptz NOT NULL,
    after_sale_ends_at timestamptz NOT NULL,
    version bigint NOT NULL,
    CHECK (paid_minor >= 0),
    CHECK (refunded_minor BETWEEN 0 AND paid_minor),
    CHECK (status IN ('completed', 'unpaid', 'disputed', 'refunding', 'cancelled'))
);

CREATE TABLE unacknowledged_orders (
    order_id text COLLATE "C" NOT NULL PRIMARY KEY,
    after_sale_ends_at timestamptz NOT NULL,
    version bigint NOT NULL
);

CREATE INDEX unacknowledged_orders_by_end ON unacknowledged_orders (after_sale_ends_at, order_id);
