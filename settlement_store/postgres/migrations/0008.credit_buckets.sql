-- Caps on credits: the most orders a second that all workers together ask the Fund Platform to credit.

ALTER TABLE batches ADD COLUMN credits_per_s integer CHECK (credits_per_s > 0);

-- One row for each batch that has a cap, and one for the installation under number 0, which no batch has.
CREATE TABLE credit_buckets (
    batch_no integer NOT NULL PRIMARY KEY,
    -- The time from which credits may be sent again: by then the bucket has made up for the turns already taken.
    free_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The same if all promised turns had been taken, too.
    promised_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
