-- Close an account, keeping the time of an earlier closing; waits for the credits that hold its row.
UPDATE accounts SET closed_at = coalesce(closed_at, now())
WHERE account_id = $1
RETURNING account_id, currency, balance_minor, closed_at
