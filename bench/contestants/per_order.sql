-- Settle one overdue order in one statement that writes the same rows as Settle, and a posting of the funding account for this order alone.
WITH overdue AS MATERIALIZED (
    SELECT orders.*, orders.paid_minor - orders.refunded_minor AS amount_minor
    FROM order_center.unacknowledged_orders AS listed JOIN order_center.orders USING (order_id)
    WHERE listed.order_id = $1
), acknowledged AS (
    DELETE FROM order_center.unacknowledged_orders WHERE order_id = $1
), judged AS MATERIALIZED (
    SELECT
        overdue.*,
        CASE
            WHEN status = 'cancelled' THEN 'ORDER_CANCELLED'
            WHEN status = 'unpaid' THEN 'ORDER_UNPAID'
            WHEN status = 'disputed' THEN 'ORDER_DISPUTED'
            WHEN status = 'refunding' THEN 'REFUND_IN_PROGRESS'
            WHEN paid_minor > 0 AND refunded_minor = paid_minor THEN 'FULLY_REFUNDED'
            WHEN amount_minor <= 0 THEN 'AMOUNT_NOT_POSITIVE'
            WHEN amount_minor > $4 THEN 'AMOUNT_OVER_LIMIT'
            WHEN account.account_id IS NULL THEN 'ACCOUNT_NOT_FOUND'
            WHEN account.closed_at IS NOT NULL THEN 'ACCOUNT_CLOSED'
            WHEN account.currency <> overdue.currency THEN 'ACCOUNT_CURRENCY_DIFFERS'
        END AS reason_code
    FROM overdue LEFT JOIN fund_platform.accounts AS account ON account.account_id = overdue.account_id
), claimed AS (
    INSERT INTO settlement.claims SELECT order_id, $2, $3, 1, reason_code IS NULL FROM judged
), itemised AS (
    INSERT INTO settlement.items SELECT $2, $3, 1, amount_minor, order_id, account_id, currency FROM judged
), excepted AS (
    INSERT INTO settlement.exception_items
    SELECT $2, $3, 'rejected', reason_code, NULL, now() FROM judged WHERE reason_code IS NOT NULL
), told AS (
    INSERT INTO settlement.outbox (batch_no, item_start, item_end, step) SELECT $2, $3, $3 + 1, 'closed' FROM judged
), answered AS (
    INSERT INTO fund_platform.credit_answers
    SELECT
        'credit:' || order_id,
        1,
        CASE reason_code
            WHEN 'ACCOUNT_NOT_FOUND' THEN 'account_not_found'
            WHEN 'ACCOUNT_CLOSED' THEN 'account_closed'
            WHEN 'ACCOUNT_CURRENCY_DIFFERS' THEN 'currency_mismatch'
            ELSE 'created'
        END,
        account_id,
        amount_minor,
        currency
    FROM judged
    WHERE reason_code IS NULL OR reason_code LIKE 'ACCOUNT%'
), entered AS (
    INSERT INTO fund_platform.journal_entries
    SELECT nextval('fund_platform.journal_entry_ids'), order_id, now() FROM judged WHERE reason_code IS NULL
    RETURNING entry_id
), posted AS (
    INSERT INTO fund_platform.postings
    SELECT entry_id, account_id, amount_minor, currency, 'credit:' || order_id FROM entered CROSS JOIN judged
    UNION ALL
    SELECT entry_id, 'funding:' || currency, -amount_minor, currency, NULL FROM entered CROSS JOIN judged
)
UPDATE fund_platform.accounts SET balance_minor = balance_minor + judged.amount_minor
FROM judged
WHERE accounts.account_id = judged.account_id AND judged.reason_code IS NULL
