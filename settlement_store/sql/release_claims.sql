-- Release the claims of rejected and failed items; they are locked in order_id order, so that two releases, or a release and an append, never deadlock.
WITH freed AS MATERIALIZED (
    SELECT item.order_id, item.claim_no
    FROM unnest($2::integer[]) AS r (item_no)
    CROSS JOIN LATERAL (
        SELECT order_id, claim_no FROM items WHERE batch_no = $1 AND items.item_no = r.item_no OFFSET 0
    ) AS item
), locked AS MATERIALIZED (
    SELECT order_id, claim_no FROM claims
    WHERE order_id = ANY (ARRAY(SELECT order_id FROM freed))
    ORDER BY order_id
    FOR NO KEY UPDATE
)
UPDATE claims SET is_held = false
WHERE order_id = ANY (ARRAY(SELECT order_id FROM locked JOIN freed USING (order_id, claim_no)))
