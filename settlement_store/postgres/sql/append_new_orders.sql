-- Lock a batch, return its state and, if it is open, claim and append the offered orders, which were never claimed.
-- The orders are added to the batch's plan and count. The statement fails if one of them was ever claimed. Appends to
-- one batch queue at its row. All work that can be done before the lock is done before it: the lock depends on the
-- count of the offered orders. The queue for claims (see lock_appends_beside_others) always comes after the row: a
-- fixed lock order cannot deadlock.
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
