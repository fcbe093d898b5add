-- Read the credits of these keys, one row for each key however many postings it has.
-- It runs with look-ups by index alone (`database.pools.look_up_by_index`). The keys are hidden in a sub-select from
-- the planner, which would estimate each of them. A credit whose entry is missing is read with the epoch as its time;
-- `fetch_ledger_breaks` reports the break.
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
    WHERE idempotency_key = ANY ((SELECT $1::text[] COLLATE "C")::text[])
    GROUP BY idempotency_key
) AS credit
LEFT JOIN journal_entries ON journal_entries.entry_id = credit.entry_id
