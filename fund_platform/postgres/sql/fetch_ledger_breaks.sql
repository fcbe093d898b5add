-- Find the contradictions in the ledger, at most $1 of each kind, all in one snapshot.
-- Each kind is a materialized query, which is planned for all its rows. Planned for the first $1 rows, which hardly
-- ever exist, the planner chose nested scans that took hours where a hash join takes a second.
WITH unbalanced_entry AS MATERIALIZED (
    SELECT
        entry_id::text AS id,
        format('The postings in %s sum to %s minor units instead of 0.', currency, sum(amount_minor)) AS detail
    FROM postings
    GROUP BY entry_id, currency
    HAVING sum(amount_minor) <> 0
), balance_off AS MATERIALIZED (
    SELECT
        account_id AS id,
        format(
            'The balance is %s, but the postings sum to %s minor units of %s.',
            balance_minor, coalesce(posted_minor, 0), currency
        ) AS detail
    FROM accounts LEFT JOIN (
        SELECT account_id, currency, sum(amount_minor) AS posted_minor FROM postings GROUP BY account_id, currency
    ) AS posted USING (account_id, currency)
    WHERE balance_minor <> coalesce(posted_minor, 0)
), posting_without_entry AS MATERIALIZED (
    SELECT
        coalesce(idempotency_key, entry_id::text) AS id,
        format(
            'A posting of %s %s to %s names entry %s, which does not exist.',
            amount_minor, currency, account_id, entry_id
        ) AS detail
    FROM postings
    WHERE NOT EXISTS (SELECT FROM journal_entries WHERE journal_entries.entry_id = postings.entry_id)
), entry_without_posting AS MATERIALIZED (
    SELECT entry_id::text AS id, format('The entry for %s has no posting.', reference) AS detail
    FROM (SELECT entry_id FROM journal_entries EXCEPT SELECT entry_id FROM postings) AS bare
    JOIN journal_entries USING (entry_id)
), posting_without_account AS MATERIALIZED (
    SELECT
        coalesce(idempotency_key, entry_id::text) AS id,
        format(
            'A posting of %s %s names %s, but there is no such account in this currency.',
            amount_minor, currency, account_id
        ) AS detail
    FROM postings
    WHERE account_id NOT LIKE 'funding:%' AND NOT EXISTS (
        SELECT FROM accounts WHERE accounts.account_id = postings.account_id AND accounts.currency = postings.currency
    )
), answer_without_posting AS MATERIALIZED (
    SELECT
        idempotency_key AS id,
        format(
            'The answer says that %s %s was credited to %s, but no posting has this key.',
            amount_minor, currency, account_id
        ) AS detail
    FROM credit_answers
    WHERE result_code = 'created' AND NOT EXISTS (
        SELECT FROM postings WHERE postings.idempotency_key = credit_answers.idempotency_key
    )
), posting_without_answer AS MATERIALIZED (
    SELECT
        coalesce(idempotency_key, entry_id::text) AS id,
        format(
            'A posting of %s %s to %s has no stored answer that it was created.',
            amount_minor, currency, account_id
        ) AS detail
    FROM postings
    WHERE account_id NOT LIKE 'funding:%' AND NOT EXISTS (
        SELECT FROM credit_answers
        WHERE credit_answers.idempotency_key = postings.idempotency_key AND result_code = 'created'
    )
), posting_differs_from_answer AS MATERIALIZED (
    SELECT
        idempotency_key AS id,
        format(
            'The answer says %s %s to %s; the posting says %s %s to %s.',
            stored.amount_minor, stored.currency, stored.account_id,
            posting.amount_minor, posting.currency, posting.account_id
        ) AS detail
    FROM postings AS posting JOIN credit_answers AS stored USING (idempotency_key)
    WHERE stored.result_code = 'created'
        AND (posting.account_id, posting.amount_minor, posting.currency)
        <> (stored.account_id, stored.amount_minor, stored.currency)
), duplicate_credit AS MATERIALIZED (
    SELECT
        idempotency_key AS id,
        format('The key has %s postings that sum to %s minor units.', count(*), sum(amount_minor)) AS detail
    FROM postings
    WHERE idempotency_key IS NOT NULL
    GROUP BY idempotency_key
    HAVING count(*) > 1
)
(SELECT 'unbalanced_entry' AS kind, id, detail FROM unbalanced_entry LIMIT $1)
UNION ALL
(SELECT 'balance_off', id, detail FROM balance_off LIMIT $1)
UNION ALL
(SELECT 'posting_without_entry', id, detail FROM posting_without_entry LIMIT $1)
UNION ALL
(SELECT 'entry_without_posting', id, detail FROM entry_without_posting LIMIT $1)
UNION ALL
(SELECT 'posting_without_account', id, detail FROM posting_without_account LIMIT $1)
UNION ALL
(SELECT 'answer_without_posting', id, detail FROM answer_without_posting LIMIT $1)
UNION ALL
(SELECT 'posting_without_answer', id, detail FROM posting_without_answer LIMIT $1)
UNION ALL
(SELECT 'posting_differs_from_answer', id, detail FROM posting_differs_from_answer LIMIT $1)
UNION ALL
(SELECT 'duplicate_credit', id, detail FROM duplicate_credit LIMIT $1)
ORDER BY kind, id
