-- Answer requests with keys that are new or refused under a lower claim number, and credit those that may be created.
-- The credits are one journal entry. The statement returns the requests that it did not create, each with a result
-- code. The code is a refusal, which the caller still has to store as the answer, or null if the key was answered
-- before.
--
-- All locks are taken in one order, keys in key order and then accounts in account order, so calls over the same rows
-- wait for each other and cannot deadlock. The data enforce that keys come first: the amount due to an account is the
-- sum over all keys answered. Accounts come last because many calls share the hot ones, which are then locked only for
-- the postings and the commit. Accounts are not read beforehand: the update that credits an account checks its newest
-- version.
--
-- It runs with look-ups by index alone (`database.pools.look_up_by_index`). Accounts are then locked in the order of
-- the amounts due, whatever the planner assumes about the table. For 10,000 credits over 200,000 accounts it chose a
-- scan of all accounts.
WITH offered AS MATERIALIZED (
    SELECT *
    FROM unnest(
        string_to_array($2, E'\x1f') COLLATE "C", $3::text::integer[], string_to_array($4, E'\x1f') COLLATE "C",
        $5::text::bigint[], string_to_array($6, E'\x1f') COLLATE "C"
    ) AS request (idempotency_key, claim_no, account_id, amount_minor, currency)
), answered AS (
    INSERT INTO credit_answers AS stored (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
    SELECT idempotency_key, claim_no, 'created', account_id, amount_minor, currency
    FROM offered
    ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO UPDATE SET
        claim_no = excluded.claim_no,
        result_code = excluded.result_code,
        account_id = excluded.account_id,
        amount_minor = excluded.amount_minor,
        currency = excluded.currency
    WHERE stored.result_code <> 'created' AND stored.claim_no < excluded.claim_no
    RETURNING idempotency_key, account_id, amount_minor, currency
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
                        WHEN closed_at IS NULL AND currency <> answered.currency THEN 'currency_mismatch'
                        ELSE 'account_closed'
                    END
                FROM accounts
                WHERE account_id = answered.account_id
            ),
            'account_not_found'
        ) AS result_code
    FROM answered
    WHERE (account_id, currency) NOT IN (SELECT account_id, currency FROM credited)
), created AS MATERIALIZED (
    SELECT idempotency_key, account_id, amount_minor, currency
    FROM answered
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
UNION ALL
SELECT idempotency_key, NULL FROM offered WHERE idempotency_key NOT IN (SELECT idempotency_key FROM answered)
