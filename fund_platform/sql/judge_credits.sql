-- Lock the accounts of these requests in account order, and name the requests that their account refuses.
-- The rows come back as they are once locked, so a rival's close or reopen that committed while this waited counts.
-- LATERAL: one index lookup per account, whatever the planner believes of the table's size.
WITH request AS MATERIALIZED (
    SELECT account_id, currency, position
    FROM unnest($1::text[] COLLATE "C", $2::text[] COLLATE "C") WITH ORDINALITY AS r (account_id, currency, position)
), account AS MATERIALIZED (
    SELECT locked.account_id, locked.currency, locked.closed_at
    FROM (SELECT DISTINCT account_id FROM request ORDER BY account_id) AS wanted
    CROSS JOIN LATERAL (
        SELECT account_id, currency, closed_at FROM accounts
        WHERE accounts.account_id = wanted.account_id
        FOR NO KEY UPDATE
    ) AS locked
)
SELECT
    request.position,
    CASE
        WHEN account.account_id IS NULL THEN 'account_not_found'
        WHEN account.closed_at IS NOT NULL THEN 'account_closed'
        ELSE 'currency_mismatch'
    END AS result_code
FROM request LEFT JOIN account ON account.account_id = request.account_id
WHERE account.account_id IS NULL OR account.closed_at IS NOT NULL OR account.currency <> request.currency
