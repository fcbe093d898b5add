-- Answer requests whose keys were never answered, credit those that may be created, and return the refusals.
-- The credits are one journal entry. The caller still has to store the refusals as answers. The statement fails if a
-- key was answered before. For its result, lock order and plan see post_credits, which costs a fifth more.
WITH offered AS MATERIALIZED (
    SELECT *
    FROM unnest(
        string_to_array($2, E'\x1f') COLLATE "C", $3::text::integer[], string_to_array($4, E'\x1f') COLLATE "C",
        $5::text::bigint[], string_to_array($6, E'\x1f') COLLATE "C"
    ) AS request (idempotency_key, claim_no, account_id, amount_minor, currency)
), answered AS (
    INSERT INTO credit_answers (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
    SELECT idempotency_key, claim_no, 'created', account_id, amount_minor, currency
    FROM offered
    ORDER BY idempotency_key
    RETURNING account_id, amount_minor, currency
), due AS MATERIALIZED (
    SELECT account_id, currency, sum(amount_minor)::bigint AS amount_minor
    FROM answered
    GROUP BY account_id, currency
    ORDER BY account_id
), credited AS (
    UPDATE accounts SET balance_minor = accounts.balance_minor + due.amount_minor
    FROM due
    WHERE accounts.account_id = due.account_id AND accounts.currency = due.currency AND accounts.closed_at IS NULL
    RETURNING accounts.account_id, accounts.currency
), refused AS MATERIALIZED (
    SELECT
        idempotency_key,
        coalesce(
            (
                SELECT
                    CASE
                        WHEN closed_at IS NULL AND currency <> offered.currency THEN 'currency_mismatch'
                        ELSE 'account_closed'
                    END
                FROM accounts
                WHERE account_id = offered.account_id
            ),
            'account_not_found'
        ) AS result_code
    FROM offered
    WHERE (account_id, currency) NOT IN (SELECT account_id, currency FROM credited)
), created AS MATERIALIZED (
    SELECT idempotency_key, account_id, amount_minor, currency
    FROM offered
    WHERE idempotency_key NOT IN (SELECT idempotency_key FROM refused)
), entry AS (
    INSERT INTO journal_entries (entry_id, reference)
    SELECT nextval('journal_entry_ids'), $1::text WHERE EXISTS (SELECT FROM credited)
    RETURNING entry_id
), posted AS (
    INSERT INTO postings (entry_id, account_id, amount_minor, currency, idempotency_key)
    SELECT entry_id, account_id, amount_minor, currency, idempotency_key FROM entry CROSS JOIN created
    UNION ALL
    SELECT entry_id, 'funding:' || currency, (-sum(amount_minor))::bigint, currency, NULL
    FROM entry CROSS JOIN created
    GROUP BY entry_id, currency
)
SELECT idempotency_key, result_code FROM refused
