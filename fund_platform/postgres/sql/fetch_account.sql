-- Read one account.
SELECT account_id, currency, balance_minor, closed_at FROM accounts WHERE account_id = $1
