-- Read the next exception items of a batch.
-- The cursor is hidden in sub-selects: whatever the statistics, sorting all rows never looks cheaper than reading a
-- slice in index order. Each item and its order's claim are looked up by key; without statistics, joins of the ranges
-- became quadratic.
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
    SELECT batch_no, item_no, outcome, reason_code
    FROM exception_items
    WHERE (batch_no, item_no) > ((SELECT $1::integer), (SELECT $2::integer))
    ORDER BY batch_no, item_no
    LIMIT $3
) AS exception
CROSS JOIN LATERAL (
    SELECT order_id, account_id, amount_minor, currency, claim_no FROM items
    WHERE items.batch_no = $1 AND items.item_no = exception.item_no
    OFFSET 0
) AS item
LEFT JOIN LATERAL (
    SELECT order_id FROM claims WHERE claims.order_id = item.order_id AND claims.claim_no = item.claim_no OFFSET 0
) AS claim ON true
WHERE exception.batch_no = $1
ORDER BY exception.item_no
