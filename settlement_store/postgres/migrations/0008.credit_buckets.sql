-- The cap on credits: how many orders a second the Fund Platform is asked to credit, by all workers together.

ALTER TABLE batches ADD COLUMN credits_per_s integer CHECK (credits_per_s > 0);

-- A row for each batch that has a cap, and one for the installation: number 0, which no batch has.
CREATE TABLE credit_buckets (
    batch_no integer NOT NULL PRIMARY KEY,
    -- From when on credits may be sent again: those that were taken before are paid for by then.
    free_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The same, had all those who were told to come later taken theirs, too.
    promised_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
