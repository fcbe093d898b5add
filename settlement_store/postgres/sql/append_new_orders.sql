-- Lock a batch and, if it is open, claim and append the offered orders, none of which was ever claimed, and add them to its plan and count; fails if one was. Its state.
-- Appends to one batch wait for each other at its row. What can be done before it is locked is done before: the lock asks
-- for the count of what is offered. After the row, always, comes the queue for claims (see lock_appends_beside_others): locks
-- in one order never deadlock.
WITH offered AS MATERIALIZED (
    SELECT
        order_id, account_id, amount_minor, currency,
        (row_number() OVER (ORDER BY order_id) - 1)::integer AS place
    FROM unnest(
        string_to_array($2, E'\x1f') COLLATE "C", string_to_array($3, E'\x1f') COLLATE "C", $4::text::bigint[],
        string_to_array($5, E'\x1f') COLLATE "C"
    ) AS o (order_id, account_id, amount_minor, currency)
), batch AS MATERIALIZED (
    SELECT batch_no, state, item_count, pg_advisory_xact_lock_shared(hashtextextended('settle: claims', 0)) AS queued
    FROM (
        SELECT batch_no, state, item_count FROM batches
        WHERE batch_id = $1 AND (SELECT count(*) FROM offered) >= 0
        FOR NO KEY UPDATE
    ) AS locked
), claimed AS (
    INSERT INTO claims (order_id, batch_no, item_no, claim_no, is_held)
    SELECT order_id, (SELECT batch_no FROM batch), (SELECT item_count FROM batch) + place, 1, true
    FROM offered
    WHERE (SELECT state FROM batch) = 'open'
    ORDER BY order_id
), appended AS (
    INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency)
    SELECT
        (SELECT batch_no FROM batch), (SELECT item_count FROM batch) + place, 1,
        amount_minor, order_id, account_id, currency
    FROM offered
    WHERE (SELECT state FROM batch) = 'open'
    ORDER BY order_id
), planned AS (
    INSERT INTO planned_totals AS plan (batch_no, currency, order_count, amount_minor)
    SELECT (SELECT batch_no FROM batch), currency, count(*), sum(amount_minor)
    FROM offered
    WHERE (SELECT state FROM batch) = 'open'
    GROUP BY currency
    ON CONFLICT (batch_no, currency) DO UPDATE SET
        order_count = plan.order_count + excluded.order_count,
        amount_minor = plan.amount_minor + excluded.amount_minor
), counted AS (
    UPDATE batches SET item_count = item_count + (SELECT count(*) FROM offered)
    WHERE batch_no = (SELECT batch_no FROM batch WHERE state = 'open')
)
SELECT state FROM batch
