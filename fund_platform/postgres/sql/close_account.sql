-- Close an account, keeping the time of an earlier closing; it waits for credits that hold the account's row.
UPDATE accounts SET closed_at = coalesce(closed_at, now())
WHERE account_id = $1
RETURNING account_id, currency, balance_minor, closed_at
