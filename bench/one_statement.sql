-- Settle every overdue order in one set-based statement that writes the same final rows as a run of Settle.
WITH batch AS (
    INSERT INTO settlement.batches
        (batch_id, source, state, business_date, cutoff_at, chunk_size, window_size, frozen_at, started_at, closed_at)
    VALUES ('one-statement', 'manual', 'closed', $1::timestamptz::date, $1, $2::integer, 1, now(), now(), now())
    RETURNING batch_no
), overdue AS MATERIALIZED (
    SELECT
        (row_number() OVER (ORDER BY listed.after_sale_ends_at, listed.order_id) - 1)::integer AS item_no,
        orders.*,
        orders.paid_minor - orders.refunded_minor AS amount_minor
    FROM order_center.unacknowledged_orders AS listed JOIN order_center.orders USING (order_id)
    WHERE listed.after_sale_ends_at < $1
), acknowledged AS (
    DELETE FROM order_center.unacknowledged_orders WHERE after_sale_ends_at < $1
), judged AS MATERIALIZED (
    SELECT
        batch_no,
        item_no,
        item_no / $2 AS chunk_index,
        order_id,
        overdue.account_id,
        amount_minor,
        overdue.currency,
        CASE
            WHEN status = 'cancelled' THEN 'ORDER_CANCELLED'
            WHEN status = 'unpaid' THEN 'ORDER_UNPAID'
            WHEN status = 'disputed' THEN 'ORDER_DISPUTED'
            WHEN status = 'refunding' THEN 'REFUND_IN_PROGRESS'
            WHEN paid_minor > 0 AND refunded_minor = paid_minor THEN 'FULLY_REFUNDED'
            WHEN amount_minor <= 0 THEN 'AMOUNT_NOT_POSITIVE'
            WHEN amount_minor > coalesce(amount_limit.amount_minor_max, 0) THEN 'AMOUNT_OVER_LIMIT'
            WHEN account.account_id IS NULL THEN 'ACCOUNT_NOT_FOUND'
            WHEN account.closed_at IS NOT NULL THEN 'ACCOUNT_CLOSED'
            WHEN account.currency <> overdue.currency THEN 'ACCOUNT_CURRENCY_DIFFERS'
        END AS reason_code
    FROM batch, overdue
    LEFT JOIN unnest($3::text[], $4::bigint[]) AS amount_limit (currency, amount_minor_max) USING (currency)
    LEFT JOIN fund_platform.accounts AS account ON account.account_id = overdue.account_id
), planned AS (
    INSERT INTO settlement.planned_totals
    SELECT batch_no, currency, count(*), sum(amount_minor) FROM judged GROUP BY 1, 2
), claimed AS (
    INSERT INTO settlement.claims
    SELECT order_id, batch_no, item_no, 1, reason_code IS NULL FROM judged ORDER BY item_no
), itemised AS (
    INSERT INTO settlement.items
    SELECT batch_no, item_no, 1, amount_minor, order_id, account_id, currency FROM judged ORDER BY item_no
), chunked AS (
    INSERT INTO settlement.chunk_states
    SELECT batch_no, chunk_index, min(item_no), max(item_no) + 1, 'closed', now() FROM judged GROUP BY 1, 2
), totalled AS (
    INSERT INTO settlement.chunk_totals
    SELECT batch_no, chunk_index, CASE WHEN reason_code IS NULL THEN 'settled' ELSE 'rejected' END, currency,
        count(*), sum(amount_minor)
    FROM judged
    GROUP BY 1, 2, 3, 4
), excepted AS (
    INSERT INTO settlement.exception_items
    SELECT batch_no, item_no, 'rejected', reason_code, NULL, now() FROM judged WHERE reason_code IS NOT NULL
), told AS (
    INSERT INTO settlement.outbox (batch_no, item_start, item_end, step)
    SELECT batch_no, min(item_no), max(item_no) + 1, 'validated'
    FROM judged
    GROUP BY batch_no, chunk_index
    HAVING count(reason_code) > 0
    UNION ALL
    SELECT batch_no, min(item_no), max(item_no) + 1, 'closed' FROM judged GROUP BY batch_no, chunk_index
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
    ORDER BY item_no
), entered AS (
    INSERT INTO fund_platform.journal_entries
    SELECT 1 + chunk_index, 'one-statement.chunk-' || chunk_index, now()
    FROM judged
    WHERE reason_code IS NULL
    GROUP BY chunk_index
), posted AS (
    INSERT INTO fund_platform.postings
    SELECT 1 + chunk_index, account_id, amount_minor, currency, 'credit:' || order_id
    FROM judged
    WHERE reason_code IS NULL
    UNION ALL
    SELECT 1 + chunk_index, 'funding:' || currency, -sum(amount_minor), currency, NULL
    FROM judged
    WHERE reason_code IS NULL
    GROUP BY chunk_index, currency
), credited AS (
    UPDATE fund_platform.accounts SET balance_minor = balance_minor + due.amount_minor
    FROM (SELECT account_id, sum(amount_minor) AS amount_minor FROM judged WHERE reason_code IS NULL GROUP BY 1) AS due
    WHERE accounts.account_id = due.account_id
)
SELECT count(*) FROM judged
