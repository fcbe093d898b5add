-- Group the next exception items of a batch by where their orders are now: whether a later item has them, that item's outcome, currency and amount; the order ids as one text.
-- The cursor is hidden in sub-selects, so that no statistics make sorting all of them look cheaper than a slice in index order. All else is looked up by key, by index alone (`database.pools.look_up_by_index`).
SELECT
    latest.claim_no > item.claim_no AS came_again,
    latest.outcome,
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
    SELECT claim_no, outcome, currency, amount_minor FROM item_outcomes AS latest
    WHERE latest.batch_no = claim.batch_no
        AND latest.item_no = claim.item_no
        AND latest.order_id = item.order_id
        AND latest.claim_no = claim.claim_no
    OFFSET 0
) AS latest
WHERE exception.batch_no = $1
GROUP BY 1, 2, 3
