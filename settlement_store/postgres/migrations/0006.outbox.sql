-- The outbox: the steps whose outcomes are not delivered to Kafka yet, and the relays that deliver them.
--
-- There is a row for each step, not for each order: a settled order still costs no row. The step's outcomes are read
-- from the items when they are delivered. A delivered row is deleted.
CREATE TABLE outbox (
    outbox_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_no integer NOT NULL,
    item_start integer NOT NULL,
    item_end integer NOT NULL,
    step text COLLATE "C" NOT NULL CHECK (step IN ('validated', 'closed')),
    -- The transaction's time, which is also that of the exception items that it stored.
    stored_at timestamptz NOT NULL DEFAULT now(),
    -- One bit for each of the 16 buckets.
    delivered_buckets integer NOT NULL DEFAULT 0,
    UNIQUE (batch_no, item_start, step)
) WITH (fillfactor = 50);

-- A relay is live until `live_until`. Each bucket is leased to one live relay at most.
CREATE TABLE relays (
    relay_id text COLLATE "C" NOT NULL PRIMARY KEY,
    live_until timestamptz NOT NULL
);

CREATE TABLE relay_leases (
    bucket integer NOT NULL PRIMARY KEY CHECK (bucket BETWEEN 0 AND 15),
    relay_id text COLLATE "C" NOT NULL REFERENCES relays ON DELETE CASCADE
);
CREATE INDEX relay_leases_relay ON relay_leases (relay_id);
