-- The Fund Platform's accounts, its answers per idempotency key, and its double-entry ledger.

-- Each page has free space to keep balance updates on it (HOT). Neither balance nor closed_at is indexed.
CREATE TABLE accounts (
    account_id text COLLATE "C" NOT NULL PRIMARY KEY,
    currency text COLLATE "C" NOT NULL,
    balance_minor bigint NOT NULL DEFAULT 0,
    closed_at timestamptz,
    CHECK (account_id NOT LIKE 'funding:%')
) WITH (fillfactor = 70);

-- The answer given under the highest claim number seen for a key. The answer to a higher claim number may replace a
-- refusal. `created` is never replaced.
CREATE TABLE credit_answers (
    idempotency_key text COLLATE "C" NOT NULL PRIMARY KEY,
    claim_no integer NOT NULL,
    result_code text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    CHECK (claim_no >= 1),
    CHECK (amount_minor > 0),
    CHECK (result_code IN ('created', 'account_not_found', 'account_closed', 'currency_mismatch'))
);

CREATE SEQUENCE journal_entry_ids;

CREATE TABLE journal_entries (
    entry_id bigint NOT NULL PRIMARY KEY,
    reference text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now()
);

-- A positive amount credits the account, a negative one debits it. A customer's credit has its order's key; the funding
-- account's debit has none. A funding account's balance is the sum of its postings. It is not stored, because all calls
-- would queue for that one row.
CREATE TABLE postings (
    entry_id bigint NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    CHECK (amount_minor <> 0),
    CHECK ((idempotency_key IS NULL) = (account_id LIKE 'funding:%'))
);

-- The ledger's own protection against paying twice, independent of `credit_answers`.
CREATE UNIQUE INDEX postings_by_key ON postings (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX postings_of_funding ON postings (account_id, entry_id) WHERE idempotency_key IS NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % on % was refused. Correct it by a new journal entry.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER journal_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
