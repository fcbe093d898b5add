-- A sentence on each table, kept in the database for whoever looks at it there. The reference of the docs shows them.

COMMENT ON TABLE accounts IS 'One row per customer account: its currency, its balance and whether it is closed.';
COMMENT ON TABLE credit_answers IS 'The answer to each credit request, by idempotency key: the one to the highest claim number seen.';
COMMENT ON TABLE journal_entries IS 'One row per journal entry: what it refers to and when it was posted. Append-only.';
COMMENT ON TABLE postings IS 'The debits and credits of each journal entry, in minor units; they sum to zero per currency. Append-only.';
