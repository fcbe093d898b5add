-- Read the next exception items of a batch that have one of the outcomes and, if one is given, the reason.
-- Rows are compared and the selection is hidden in coalesce, so that no statistics, fresh or none, make what follows look
-- like so few rows that reading and sorting all of them seems cheaper than reading a slice in index order.
-- Each item and its order's claim are looked up by key; joins of the ranges became quadratic where statistics lacked.
SELECT
    exception.item_no,
    item.order_id,
    item.account_id,
    item.amount_minor,
    item.currency,
    item.claim_no,
    exception.outcome,
    exception.reason_code,
    claim.order_id IS NOT NULL AS is_latest
FROM (
    SELECT item_no, outcome, reason_code
    FROM exception_items
    WHERE (batch_no, item_no) >= ($1::integer, $2::integer + 1)
        AND (batch_no, item_no) <= ($1, 2147483647)
        AND coalesce(outcome = ANY ($3::text[]) AND ($4::text IS NULL OR reason_code = $4), false)
    ORDER BY batch_no, item_no
    LIMIT $5
) AS exception
CROSS JOIN LATERAL (
    SELECT order_id, account_id, amount_minor, currency, claim_no FROM items
    WHERE items.batch_no = $1 AND items.item_no = exception.item_no
    OFFSET 0
) AS item
LEFT JOIN LATERAL (
    SELECT order_id FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
) AS claim ON true
ORDER BY exception.item_no
