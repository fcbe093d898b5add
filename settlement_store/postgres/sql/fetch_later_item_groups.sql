-- Group the next exception items of a batch by their orders' latest items: later or not, outcome and currency.
-- Order ids are returned as one text. The cursor is hidden in sub-selects: whatever the statistics, sorting all rows
-- never looks cheaper than reading a slice in index order. All else is looked up by key, by index alone
-- (`database.pools.look_up_by_index`). Each latest item's batch, chunk and exception have look-ups of their own:
-- without statistics, the view read all chunks of its batch for each item.
SELECT
    claim.claim_no > item.claim_no AS came_again,
    item_outcome(latest.pruned_outcome, latest_exception.outcome, chunk.state) AS outcome,
    latest.currency,
    sum(latest.amount_minor)::bigint AS amount_minor,
    string_agg(item.order_id, E'\x1f') AS order_ids,
    max(exception.item_no) AS item_no_last
FROM (
    SELECT batch_no, item_no
    FROM exception_items
    WHERE (batch_no, item_no) > ((SELECT $1::integer), (SELECT $2::integer))
    ORDER BY batch_no, item_no
    LIMIT $3
) AS exception
CROSS JOIN LATERAL (
    SELECT order_id, claim_no FROM items
    WHERE items.batch_no = $1 AND items.item_no = exception.item_no
    OFFSET 0
) AS item
CROSS JOIN LATERAL (
    SELECT batch_no, item_no, claim_no FROM claims WHERE claims.order_id = item.order_id OFFSET 0
) AS claim
CROSS JOIN LATERAL (
    SELECT amount_minor, currency, pruned_outcome FROM all_items
    WHERE all_items.batch_no = claim.batch_no
        AND all_items.item_no = claim.item_no
        AND all_items.order_id = item.order_id
        AND all_items.claim_no = claim.claim_no
    OFFSET 0
) AS latest
CROSS JOIN LATERAL (
    SELECT chunk_size FROM batches WHERE batches.batch_no = claim.batch_no OFFSET 0
) AS batch
LEFT JOIN LATERAL (
    SELECT state FROM chunk_states
    WHERE chunk_states.batch_no = claim.batch_no
        AND chunk_states.chunk_index = claim.item_no / batch.chunk_size
        AND claim.item_no >= item_start
        AND claim.item_no < item_end
    OFFSET 0
) AS chunk ON true
LEFT JOIN LATERAL (
    SELECT outcome FROM exception_items
    WHERE exception_items.batch_no = claim.batch_no AND exception_items.item_no = claim.item_no
    OFFSET 0
) AS latest_exception ON true
WHERE exception.batch_no = $1
GROUP BY 1, 2, 3
