-- Move or take the claims of exception items that are still their orders' latest, append the orders, and return them.
-- The claim number is the compare-and-set: it changes whenever another item takes the claim. If a rival takes orders
-- between the read and the upsert, fewer are claimed than numbered. The caller then rolls back and tries again.
WITH offered AS MATERIALIZED (
    SELECT order_id, claim_no, account_id, amount_minor, currency, inherits_unknown
    FROM unnest(
        $3::text[] COLLATE "C", $4::integer[], $5::text[] COLLATE "C", $6::bigint[], $7::text[] COLLATE "C",
        $8::boolean[]
    ) AS o (order_id, claim_no, account_id, amount_minor, currency, inherits_unknown)
), numbered AS MATERIALIZED (
    SELECT offered.*, ($2 + row_number() OVER (ORDER BY offered.order_id) - 1)::integer AS item_no
    FROM offered
    CROSS JOIN LATERAL (
        SELECT FROM claims
        WHERE claims.order_id = offered.order_id AND claims.claim_no = offered.claim_no
        OFFSET 0
    ) AS claim
), claimed AS (
    INSERT INTO claims AS claim (order_id, batch_no, item_no, claim_no, is_held)
    SELECT order_id, $1, item_no, claim_no + 1, true FROM numbered
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET
        batch_no = excluded.batch_no,
        item_no = excluded.item_no,
        claim_no = excluded.claim_no,
        is_held = true
    WHERE claim.claim_no = excluded.claim_no - 1
    RETURNING
        order_id, claim.claim_no,
        old.batch_no AS earlier_batch_no, old.item_no AS earlier_item_no, old.claim_no AS earlier_claim_no
), earlier AS (
    INSERT INTO earlier_items (order_id, claim_no, batch_no, item_no)
    SELECT order_id, earlier_claim_no, earlier_batch_no, earlier_item_no FROM claimed
), appended AS (
    INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency, inherits_unknown)
    SELECT
        $1, item_no, claimed.claim_no, amount_minor, order_id, account_id, currency, nullif(inherits_unknown, false)
    FROM claimed JOIN numbered USING (order_id)
    ORDER BY item_no
    RETURNING currency, amount_minor
), planned AS (
    INSERT INTO planned_totals AS plan (batch_no, currency, order_count, amount_minor)
    SELECT $1, currency, count(*), sum(amount_minor) FROM appended GROUP BY currency
    ON CONFLICT (batch_no, currency) DO UPDATE SET
        order_count = plan.order_count + excluded.order_count,
        amount_minor = plan.amount_minor + excluded.amount_minor
)
SELECT
    (SELECT count(*) FROM numbered) AS numbered_count,
    ARRAY(SELECT order_id FROM claimed ORDER BY order_id) AS claimed_order_ids
