-- Claim and append the offered orders, none of which was ever claimed, and add them to the batch's plan and count; fails if one was.
WITH offered AS MATERIALIZED (
    SELECT
        order_id, account_id, amount_minor, currency,
        ($2 + row_number() OVER (ORDER BY order_id) - 1)::integer AS item_no
    FROM unnest(
        string_to_array($3, E'\x1f') COLLATE "C", string_to_array($4, E'\x1f') COLLATE "C", $5::text::bigint[],
        string_to_array($6, E'\x1f') COLLATE "C"
    ) AS o (order_id, account_id, amount_minor, currency)
), claimed AS (
    INSERT INTO claims (order_id, batch_no, item_no, claim_no, is_held)
    SELECT order_id, $1, item_no, 1, true FROM offered
    ORDER BY order_id
), appended AS (
    INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency)
    SELECT $1, item_no, 1, amount_minor, order_id, account_id, currency FROM offered
    ORDER BY order_id
), counted AS (
    UPDATE batches SET item_count = item_count + (SELECT count(*) FROM offered) WHERE batch_no = $1
)
INSERT INTO planned_totals AS plan (batch_no, currency, order_count, amount_minor)
SELECT $1, currency, count(*), sum(amount_minor) FROM offered GROUP BY currency
ON CONFLICT (batch_no, currency) DO UPDATE SET
    order_count = plan.order_count + excluded.order_count,
    amount_minor = plan.amount_minor + excluded.amount_minor
