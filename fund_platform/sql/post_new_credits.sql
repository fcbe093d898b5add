-- Judge requests whose keys were never answered, store the answers, credit what may be created as one journal entry, and return the requests that this did not create; fails if a key was answered before.
-- What is returned, and why locks are taken in this order: see post_credits, which costs a fifth more.
WITH request AS MATERIALIZED (
    SELECT
        offered.idempotency_key,
        offered.claim_no,
        CASE
            WHEN account.account_id IS NULL THEN 'account_not_found'
            WHEN account.closed_at IS NOT NULL THEN 'account_closed'
            WHEN account.currency <> offered.currency THEN 'currency_mismatch'
            ELSE 'created'
        END AS result_code,
        offered.account_id,
        offered.amount_minor,
        offered.currency
    FROM unnest(
        string_to_array($2, E'\x1f') COLLATE "C", $3::text::integer[], string_to_array($4, E'\x1f') COLLATE "C", $5::text::bigint[],
        string_to_array($6, E'\x1f') COLLATE "C"
    ) AS offered (idempotency_key, claim_no, account_id, amount_minor, currency)
    LEFT JOIN LATERAL (
        SELECT account_id, currency, closed_at FROM accounts WHERE accounts.account_id = offered.account_id OFFSET 0
    ) AS account ON true
), answered AS (
    INSERT INTO credit_answers (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
    SELECT idempotency_key, claim_no, result_code, account_id, amount_minor, currency
    FROM request
    ORDER BY idempotency_key
    RETURNING idempotency_key, result_code, account_id, amount_minor, currency
), credited AS (
    INSERT INTO accounts (account_id, currency, balance_minor)
    SELECT account_id, currency, sum(amount_minor)::bigint
    FROM answered
    WHERE result_code = 'created'
    GROUP BY account_id, currency
    ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET balance_minor = accounts.balance_minor + excluded.balance_minor
    WHERE accounts.closed_at IS NULL
    RETURNING account_id
), created AS MATERIALIZED (
    SELECT idempotency_key, account_id, amount_minor, currency
    FROM answered JOIN credited USING (account_id)
    WHERE result_code = 'created'
), entry AS (
    INSERT INTO journal_entries (entry_id, reference)
    SELECT nextval('journal_entry_ids'), $1::text WHERE EXISTS (SELECT FROM created)
    RETURNING entry_id
), posted AS (
    INSERT INTO postings (entry_id, account_id, amount_minor, currency, idempotency_key)
    SELECT entry_id, account_id, amount_minor, currency, idempotency_key FROM entry CROSS JOIN created
    UNION ALL
    SELECT entry_id, 'house:' || currency, (-sum(amount_minor))::bigint, currency, NULL
    FROM entry CROSS JOIN created
    GROUP BY entry_id, currency
)
SELECT idempotency_key, result_code
FROM request
WHERE idempotency_key NOT IN (SELECT idempotency_key FROM created)
