-- Find items whose order has no claim, or a claim with a lower number.
SELECT
    'claim_missing' AS kind,
    order_id AS id,
    format(
        'Item %s of batch %s has claim number %s; the order''s claim number is %s.',
        item.item_no, coalesce(batch_id, item.batch_no::text), item.claim_no, coalesce(claim.claim_no::text, 'none')
    ) AS detail
FROM all_items AS item
LEFT JOIN claims AS claim USING (order_id)
LEFT JOIN batches AS batch ON batch.batch_no = item.batch_no
WHERE claim.claim_no IS NULL OR claim.claim_no < item.claim_no
ORDER BY order_id, item.claim_no
LIMIT $1
