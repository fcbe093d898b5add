-- Read one order's latest item.
SELECT
    claim.order_id,
    coalesce(batch_id, '') AS batch_id,
    coalesce(opened_at, 'epoch') AS opened_at,
    coalesce(outcome, 'missing') AS outcome,
    reason_code,
    coalesce(account_id, '') AS account_id,
    coalesce(amount_minor, 0) AS amount_minor,
    coalesce(currency, '') AS currency
FROM claims AS claim
LEFT JOIN LATERAL (
    SELECT * FROM item_outcomes AS item
    WHERE item.batch_no = claim.batch_no
        AND item.item_no = claim.item_no
        AND item.order_id = claim.order_id
        AND item.claim_no = claim.claim_no
    OFFSET 0
) AS item ON true
WHERE claim.order_id = $1
