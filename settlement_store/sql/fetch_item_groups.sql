-- Group a range of a batch's items by outcome and currency, and by whether they are their order's latest item; the order ids as one text.
-- Each item's claim and chunk are looked up by key: joins of the ranges became quadratic where statistics lacked.
-- A chunk is looked up by its index alone, so that items of one chunk share the look. The few exceptions are hashed.
SELECT
    CASE
        WHEN item.item_no IN (
            SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
        ) THEN (
            SELECT outcome FROM exception_items AS exception
            WHERE exception.batch_no = $1 AND exception.item_no = item.item_no
        )
        WHEN chunk.state = 'closed' AND item.item_no >= item_start AND item.item_no < item_end THEN 'settled'
        ELSE 'pending'
    END AS outcome,
    item.currency,
    claim.order_id IS NOT NULL AS is_latest,
    sum(item.amount_minor)::bigint AS amount_minor,
    string_agg(item.order_id, E'\x1f') AS order_ids
FROM items AS item
CROSS JOIN LATERAL (SELECT item.item_no / $4::integer AS chunk_index OFFSET 0) AS place
LEFT JOIN LATERAL (
    SELECT state, item_start, item_end FROM chunk_states
    WHERE chunk_states.batch_no = $1 AND chunk_states.chunk_index = place.chunk_index
    OFFSET 0
) AS chunk ON true
LEFT JOIN LATERAL (
    SELECT order_id FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
) AS claim ON true
WHERE item.batch_no = $1 AND item.item_no >= $2 AND item.item_no < $3
GROUP BY 1, 2, 3
