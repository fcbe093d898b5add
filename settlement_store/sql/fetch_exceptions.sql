-- Read the next exception items of a batch that have one of the outcomes and, if one is given, the reason.
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
    WHERE batch_no = $1
        AND item_no > $2
        AND outcome = ANY ($3::text[])
        AND ($4::text IS NULL OR reason_code = $4)
    ORDER BY item_no
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
