-- Read a key's stored answer and its postings with their entries: a row for each posting, or one row if there is none.
SELECT
    stored.result_code,
    stored.claim_no,
    stored.account_id,
    stored.amount_minor,
    stored.currency,
    posting.entry_id,
    entry.reference,
    entry.posted_at,
    posting.account_id AS posted_account_id,
    posting.amount_minor AS posted_amount_minor,
    posting.currency AS posted_currency
FROM (SELECT $1::text COLLATE "C" AS idempotency_key) AS wanted
LEFT JOIN LATERAL (
    SELECT * FROM credit_answers WHERE credit_answers.idempotency_key = wanted.idempotency_key OFFSET 0
) AS stored ON true
LEFT JOIN LATERAL (
    SELECT * FROM postings WHERE postings.idempotency_key = wanted.idempotency_key OFFSET 0
) AS posting ON true
LEFT JOIN LATERAL (
    SELECT reference, posted_at FROM journal_entries WHERE journal_entries.entry_id = posting.entry_id OFFSET 0
) AS entry ON true
ORDER BY posting.entry_id
