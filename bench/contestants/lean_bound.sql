-- Credit all due orders with the fewest writes that still prevent double payment: a journal row and a status change per order, and the balances.
WITH due AS (
    UPDATE lean.orders SET status = 'settled' WHERE status = 'due' RETURNING order_id, account_id, amount_minor, currency
), journaled AS (
    INSERT INTO lean.journal SELECT 'credit:' || order_id, account_id, amount_minor, currency FROM due
), credited AS (
    UPDATE lean.accounts SET balance_minor = balance_minor + due_to.amount_minor
    FROM (SELECT account_id, sum(amount_minor) AS amount_minor FROM due GROUP BY account_id) AS due_to
    WHERE accounts.account_id = due_to.account_id
)
SELECT count(*) FROM due
