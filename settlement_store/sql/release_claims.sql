-- Release the claims of rejected and failed items, in order_id order so that two releases never deadlock.
WITH releasable AS MATERIALIZED (
    SELECT claims.order_id
    FROM unnest($2::integer[]) AS r (item_no)
    CROSS JOIN LATERAL (
        SELECT order_id, claim_no FROM items WHERE batch_no = $1 AND items.item_no = r.item_no OFFSET 0
    ) AS item
    JOIN claims ON claims.order_id = item.order_id AND claims.claim_no = item.claim_no
    ORDER BY claims.order_id
    FOR NO KEY UPDATE OF claims
)
UPDATE claims SET is_held = false
WHERE order_id = ANY (ARRAY(SELECT order_id FROM releasable))
