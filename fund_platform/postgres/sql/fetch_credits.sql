-- Read the next slice of credits in key order, one row for each key however many postings it has.
-- The key is in a sub-select, which hides its value from the planner. For keys beyond old statistics, the planner would
-- expect no rows, and would read and sort all of them for each slice. A credit whose entry is missing is read with the
-- epoch as its time; `fetch_ledger_breaks` reports the break.
SELECT
    credit.idempotency_key,
    credit.account_id,
    credit.currency,
    credit.amount_minor,
    credit.posting_count,
    coalesce(journal_entries.posted_at, 'epoch'::timestamptz) AS posted_at
FROM (
    SELECT
        idempotency_key,
        min(account_id) AS account_id,
        min(currency) AS currency,
        sum(amount_minor)::bigint AS amount_minor,
        count(*) AS posting_count,
        min(entry_id) AS entry_id
    FROM postings
    WHERE idempotency_key > (SELECT $1::text)
    GROUP BY idempotency_key
    ORDER BY idempotency_key
    LIMIT $2
) AS credit
LEFT JOIN journal_entries ON journal_entries.entry_id = credit.entry_id
ORDER BY credit.idempotency_key
