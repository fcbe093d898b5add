-- Read the next orders' latest items in order_id order.
-- Each claim's batch, chunk, item and exception are looked up by key; without statistics, joins would scan these
-- tables. A chunk is looked up by its index alone, which lets items of one chunk share the look-up.
SELECT
    claim.order_id,
    coalesce(batch_id, '') AS batch_id,
    coalesce(opened_at, 'epoch') AS opened_at,
    CASE
        WHEN item.account_id IS NULL THEN 'missing'
        ELSE item_outcome(
            pruned_outcome,
            exception.outcome,
            CASE WHEN claim.item_no >= item_start AND claim.item_no < item_end THEN chunk.state END
        )
    END AS outcome,
    coalesce(pruned_reason_code, reason_code) AS reason_code,
    coalesce(account_id, '') AS account_id,
    coalesce(amount_minor, 0) AS amount_minor,
    coalesce(currency, '') AS currency
FROM (
    SELECT order_id, batch_no, item_no, claim_no FROM claims WHERE order_id > $1 ORDER BY order_id LIMIT $2
) AS claim
LEFT JOIN LATERAL (
    SELECT batch_id, opened_at, chunk_size FROM batches WHERE batches.batch_no = claim.batch_no OFFSET 0
) AS batch ON true
CROSS JOIN LATERAL (SELECT claim.item_no / batch.chunk_size AS chunk_index OFFSET 0) AS place
LEFT JOIN LATERAL (
    SELECT state, item_start, item_end FROM chunk_states
    WHERE chunk_states.batch_no = claim.batch_no AND chunk_states.chunk_index = place.chunk_index
    OFFSET 0
) AS chunk ON true
LEFT JOIN LATERAL (
    SELECT account_id, amount_minor, currency, pruned_outcome, pruned_reason_code FROM all_items AS item
    WHERE item.batch_no = claim.batch_no
        AND item.item_no = claim.item_no
        AND item.order_id = claim.order_id
        AND item.claim_no = claim.claim_no
    OFFSET 0
) AS item ON true
LEFT JOIN LATERAL (
    SELECT outcome, reason_code FROM exception_items AS exception
    WHERE exception.batch_no = claim.batch_no AND exception.item_no = claim.item_no
    OFFSET 0
) AS exception ON true
ORDER BY claim.order_id
