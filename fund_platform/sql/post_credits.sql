-- Judge every request whose key is new or was refused under a lower claim number, post what may be created as one journal entry, and answer the requests judged now.
-- Accounts are locked in account order and keys in key order, always accounts first, so that two calls over the same rows wait and never deadlock.
WITH request AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::integer[], $4::text[], $5::bigint[], $6::text[])
        AS r (idempotency_key, claim_no, account_id, amount_minor, currency)
), account AS MATERIALIZED (
    SELECT account_id, currency, closed_at FROM accounts
    WHERE account_id = ANY ($7::text[])
    ORDER BY account_id
    FOR NO KEY UPDATE
), answered AS (
    INSERT INTO credit_answers AS stored (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
    SELECT
        idempotency_key,
        claim_no,
        CASE
            WHEN account.account_id IS NULL THEN 'account_not_found'
            WHEN account.closed_at IS NOT NULL THEN 'account_closed'
            WHEN account.currency <> request.currency THEN 'currency_mismatch'
            ELSE 'created'
        END,
        request.account_id,
        amount_minor,
        request.currency
    FROM request LEFT JOIN account ON account.account_id = request.account_id
    ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO UPDATE SET
        claim_no = excluded.claim_no,
        result_code = excluded.result_code,
        account_id = excluded.account_id,
        amount_minor = excluded.amount_minor,
        currency = excluded.currency
    WHERE stored.result_code <> 'created' AND stored.claim_no < excluded.claim_no
    RETURNING idempotency_key, result_code, account_id, amount_minor, currency
), created AS MATERIALIZED (
    SELECT * FROM answered WHERE result_code = 'created'
), entry AS (
    INSERT INTO journal_entries (entry_id, reference)
    SELECT nextval('journal_entry_ids'), $1::text WHERE EXISTS (SELECT FROM created)
    RETURNING entry_id
), posted AS (
    INSERT INTO postings (entry_id, account_id, amount_minor, currency, idempotency_key)
    SELECT entry_id, account_id, amount_minor, currency, idempotency_key FROM entry, created
    UNION ALL
    SELECT entry_id, 'house:' || currency, -sum(amount_minor), currency, NULL FROM entry, created
    GROUP BY entry_id, currency
), credited AS (
    UPDATE accounts SET balance_minor = balance_minor + due.amount_minor
    FROM (SELECT account_id, sum(amount_minor) AS amount_minor FROM created GROUP BY account_id) AS due
    WHERE accounts.account_id = due.account_id
)
SELECT idempotency_key, result_code FROM answered
