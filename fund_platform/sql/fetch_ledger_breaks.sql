-- Name what contradicts itself in the ledger, at most $1 of each kind, all in one snapshot.
(
    SELECT
        'unbalanced_entry' AS kind,
        entry_id::text AS id,
        format('The postings in %s sum to %s minor units instead of 0.', currency, sum(amount_minor)) AS detail
    FROM postings
    GROUP BY entry_id, currency
    HAVING sum(amount_minor) <> 0
    LIMIT $1
)
UNION ALL
(
    SELECT
        'balance_off',
        account_id,
        format(
            'The balance is %s, but the postings sum to %s minor units of %s.',
            balance_minor, coalesce(posted_minor, 0), currency
        )
    FROM accounts LEFT JOIN (
        SELECT account_id, currency, sum(amount_minor) AS posted_minor FROM postings GROUP BY account_id, currency
    ) AS posted USING (account_id, currency)
    WHERE balance_minor <> coalesce(posted_minor, 0)
    LIMIT $1
)
UNION ALL
(
    SELECT
        'posting_without_entry',
        coalesce(idempotency_key, entry_id::text),
        format('A posting of %s %s to %s names entry %s, which does not exist.', amount_minor, currency, account_id, entry_id)
    FROM postings
    WHERE NOT EXISTS (SELECT FROM journal_entries WHERE journal_entries.entry_id = postings.entry_id)
    LIMIT $1
)
UNION ALL
(
    SELECT
        'entry_without_posting',
        entry_id::text,
        format('The entry for %s has no posting.', reference)
    FROM journal_entries
    WHERE NOT EXISTS (SELECT FROM postings WHERE postings.entry_id = journal_entries.entry_id)
    LIMIT $1
)
UNION ALL
(
    SELECT
        'posting_without_account',
        coalesce(idempotency_key, entry_id::text),
        format('A posting of %s %s names %s, but there is no such account in this currency.', amount_minor, currency, account_id)
    FROM postings
    WHERE account_id NOT LIKE 'house:%' AND NOT EXISTS (
        SELECT FROM accounts WHERE accounts.account_id = postings.account_id AND accounts.currency = postings.currency
    )
    LIMIT $1
)
UNION ALL
(
    SELECT
        'answer_without_posting',
        idempotency_key,
        format('The answer says that %s %s was credited to %s, but no posting has this key.', amount_minor, currency, account_id)
    FROM credit_answers
    WHERE result_code = 'created' AND NOT EXISTS (
        SELECT FROM postings WHERE postings.idempotency_key = credit_answers.idempotency_key
    )
    LIMIT $1
)
UNION ALL
(
    SELECT
        'posting_without_answer',
        coalesce(idempotency_key, entry_id::text),
        format('A posting of %s %s to %s has no stored answer that it was created.', amount_minor, currency, account_id)
    FROM postings
    WHERE account_id NOT LIKE 'house:%' AND NOT EXISTS (
        SELECT FROM credit_answers
        WHERE credit_answers.idempotency_key = postings.idempotency_key AND result_code = 'created'
    )
    LIMIT $1
)
UNION ALL
(
    SELECT
        'posting_differs_from_answer',
        idempotency_key,
        format(
            'The answer says %s %s to %s, the posting %s %s to %s.',
            stored.amount_minor, stored.currency, stored.account_id,
            posting.amount_minor, posting.currency, posting.account_id
        )
    FROM postings AS posting JOIN credit_answers AS stored USING (idempotency_key)
    WHERE stored.result_code = 'created'
        AND (posting.account_id, posting.amount_minor, posting.currency)
        <> (stored.account_id, stored.amount_minor, stored.currency)
    LIMIT $1
)
UNION ALL
(
    SELECT
        'duplicate_credit',
        idempotency_key,
        format('The key has %s postings, of %s minor units in all.', count(*), sum(amount_minor))
    FROM postings
    WHERE idempotency_key IS NOT NULL
    GROUP BY idempotency_key
    HAVING count(*) > 1
    LIMIT $1
)
ORDER BY kind, id
