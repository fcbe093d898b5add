-- Group a range of a batch's items by outcome, currency and whether they are the latest of their orders.
-- Order ids are returned as one text. A later item is looked up by key for each item and almost never found; without
-- statistics, joins of the ranges became quadratic. The few exceptions are hashed. The closed ones of the few chunks
-- make one set of ranges.
SELECT
    item_outcome(
        NULL,
        CASE
            WHEN item.item_no IN (
                SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
            ) THEN (
                SELECT outcome FROM exception_items AS exception
                WHERE exception.batch_no = $1 AND exception.item_no = item.item_no
            )
        END,
        CASE
            WHEN item.item_no <@ (
                SELECT range_agg(int4range(item_start, item_end)) FROM chunk_states
                WHERE batch_no = $1 AND chunk_index >= $2 / $4::integer AND chunk_index <= $3 / $4 AND state = 'closed'
            ) THEN 'closed'
        END
    ) AS outcome,
    item.currency,
    later.order_id IS NULL AS is_latest,
    sum(item.amount_minor)::bigint AS amount_minor,
    string_agg(item.order_id, E'\x1f') AS order_ids
FROM items AS item
LEFT JOIN LATERAL (
    SELECT order_id FROM earlier_items
    WHERE earlier_items.order_id = item.order_id AND earlier_items.claim_no = item.claim_no
    OFFSET 0
) AS later ON true
WHERE item.batch_no = $1 AND item.item_no >= $2 AND item.item_no < $3
GROUP BY 1, 2, 3
