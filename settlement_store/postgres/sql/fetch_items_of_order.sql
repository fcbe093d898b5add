-- Read the newest items of one order, oldest first, each with its batch, chunk and exception item.
-- All look-ups are by key.
SELECT
    batch.batch_id,
    batch.source AS batch_source,
    batch.shown_state AS batch_state,
    batch.business_date,
    item.item_no,
    coalesce(chunk.chunk_index, CASE WHEN item.pruned_outcome IS NOT NULL THEN place.item_no / batch.chunk_size END)
        AS chunk_index,
    item.claim_no,
    coalesce(item.inherits_unknown, false) AS inherits_unknown,
    item.account_id,
    item.amount_minor,
    item.currency,
    item_outcome(item.pruned_outcome, exception.outcome, chunk.state) AS outcome,
    coalesce(item.pruned_reason_code, exception.reason_code) AS reason_code,
    exception.detail,
    exception.stored_at
FROM (
    SELECT claim_no, batch_no, item_no FROM claims WHERE order_id = $1
    UNION ALL
    SELECT * FROM (
        SELECT claim_no, batch_no, item_no FROM earlier_items WHERE order_id = $1 ORDER BY claim_no DESC LIMIT $2
    ) AS earlier
    ORDER BY claim_no DESC
    LIMIT $2
) AS place
CROSS JOIN LATERAL (
    SELECT * FROM all_items AS item
    WHERE item.batch_no = place.batch_no
        AND item.item_no = place.item_no
        AND item.order_id = $1
        AND item.claim_no = place.claim_no
    OFFSET 0
) AS item
CROSS JOIN LATERAL (
    SELECT batch_id, source, shown_state, business_date, chunk_size FROM batches WHERE batches.batch_no = place.batch_no
    OFFSET 0
) AS batch
LEFT JOIN LATERAL (
    SELECT chunk_index, state FROM chunk_states
    WHERE chunk_states.batch_no = place.batch_no
        AND chunk_states.chunk_index = place.item_no / batch.chunk_size
        AND place.item_no >= chunk_states.item_start
        AND place.item_no < chunk_states.item_end
    OFFSET 0
) AS chunk ON true
LEFT JOIN LATERAL (
    SELECT outcome, reason_code, detail, stored_at FROM exception_items
    WHERE exception_items.batch_no = place.batch_no AND exception_items.item_no = place.item_no
    OFFSET 0
) AS exception ON true
ORDER BY place.claim_no
