-- Read the next slice of credits in key order, one row per key however many postings it has.
-- The key stands in a subquery so that the planner does not see its value: beyond the keys of old statistics it would
-- expect no rows, and read and sort all of them for each slice.
-- A credit whose entry is missing is still read, as posted at the epoch: the break is named elsewhere.
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
