-- Reopen a closed account.
UPDATE accounts SET closed_at = NULL
WHERE account_id = $1
RETURNING account_id, currency, balance_minor, closed_at
