-- Claim and append the offered orders that have no live item, add them to the plan, and count duplicates and conflicts.
-- If a rival claims orders between the read and the insert, fewer are claimed than numbered. The caller then rolls back
-- and tries again, because item numbers must have no gap.
WITH offered AS MATERIALIZED (
    SELECT order_id, account_id, amount_minor, currency
    FROM unnest(
        string_to_array($3, E'\x1f') COLLATE "C", string_to_array($4, E'\x1f') COLLATE "C", $5::text::bigint[], string_to_array($6, E'\x1f') COLLATE "C"
    ) AS o (order_id, account_id, amount_minor, currency)
), live AS MATERIALIZED (
    SELECT
        offered.*,
        claim.batch_no,
        claim.item_no,
        item.is_pruned,
        (item.account_id, item.amount_minor, item.currency)
            IS NOT DISTINCT FROM (offered.account_id, offered.amount_minor, offered.currency) AS is_duplicate
    FROM offered
    CROSS JOIN LATERAL (
        SELECT batch_no, item_no, claim_no FROM claims WHERE claims.order_id = offered.order_id AND is_held OFFSET 0
    ) AS claim
    LEFT JOIN LATERAL (
        SELECT account_id, amount_minor, currency, false AS is_pruned FROM items
        WHERE items.batch_no = claim.batch_no AND items.item_no = claim.item_no
        UNION ALL
        SELECT account_id, amount_minor, currency, true FROM pruned_items
        WHERE pruned_items.order_id = offered.order_id AND pruned_items.claim_no = claim.claim_no
        OFFSET 0
    ) AS item ON true
), unanswered AS ( -- the claim is held: its item counts as pending until its chunk is closed; pruned chunks were closed
    SELECT order_id
    FROM live
    LEFT JOIN LATERAL (
        SELECT chunk_size FROM batches WHERE batches.batch_no = live.batch_no OFFSET 0
    ) AS batch ON true
    CROSS JOIN LATERAL (SELECT live.item_no / batch.chunk_size AS chunk_index OFFSET 0) AS place
    LEFT JOIN LATERAL (
        SELECT state, item_start, item_end FROM chunk_states
        WHERE chunk_states.batch_no = live.batch_no AND chunk_states.chunk_index = place.chunk_index
        OFFSET 0
    ) AS chunk ON true
    WHERE NOT is_duplicate
        AND is_pruned IS NOT TRUE
        AND (chunk.state = 'closed' AND live.item_no >= item_start AND live.item_no < item_end) IS NOT TRUE
), conflicting AS ( -- the batch's row is locked, so no rival can store the same conflict
    INSERT INTO conflicts (order_id, batch_no, account_id, amount_minor, currency)
    SELECT order_id, $1, account_id, amount_minor, currency FROM live WHERE NOT is_duplicate
    ON CONFLICT (order_id, batch_no) DO NOTHING
), numbered AS MATERIALIZED (
    SELECT offered.*, ($2 + row_number() OVER (ORDER BY offered.order_id) - 1)::integer AS item_no
    FROM offered LEFT JOIN live USING (order_id)
    WHERE live.order_id IS NULL
), claimed AS (
    INSERT INTO claims AS claim (order_id, batch_no, item_no, claim_no, is_held)
    SELECT order_id, $1, item_no, 1, true FROM numbered
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET
        batch_no = excluded.batch_no,
        item_no = excluded.item_no,
        claim_no = claim.claim_no + 1,
        is_held = true
    WHERE NOT claim.is_held
    RETURNING
        order_id, claim.claim_no,
        old.batch_no AS earlier_batch_no, old.item_no AS earlier_item_no, old.claim_no AS earlier_claim_no
), earlier AS (
    INSERT INTO earlier_items (order_id, claim_no, batch_no, item_no)
    SELECT order_id, earlier_claim_no, earlier_batch_no, earlier_item_no FROM claimed
    WHERE earlier_claim_no IS NOT NULL
), appended AS (
    INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency)
    SELECT $1, item_no, claim_no, amount_minor, order_id, account_id, currency
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
    (SELECT count(*) FROM claimed) AS claimed_count,
    (SELECT count(*) FROM live WHERE is_duplicate) AS duplicate_count,
    ARRAY(SELECT order_id FROM live WHERE NOT is_duplicate ORDER BY order_id) AS conflict_order_ids,
    ARRAY(SELECT order_id FROM unanswered ORDER BY order_id) AS unanswered_conflict_order_ids
