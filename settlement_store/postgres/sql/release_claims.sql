-- Release the claims of rejected and failed items.
-- Only the holder of the chunk's lock changes its items' claims. An append that still sees a claim held leaves it
-- alone.
UPDATE claims SET is_held = false
WHERE order_id = ANY (
        ARRAY(
            SELECT item.order_id
            FROM unnest($2::text::integer[]) AS r (item_no)
            CROSS JOIN LATERAL (
                SELECT order_id FROM items WHERE batch_no = $1 AND items.item_no = r.item_no OFFSET 0
            ) AS item
        )
    )
    AND batch_no = $1
    AND item_no = ANY ($2::text::integer[])
