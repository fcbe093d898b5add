-- Find items that are settled or pending although their order's claim has moved on to a later item.
SELECT
    'two_live_items' AS kind,
    order_id AS id,
    format(
        'Item %s of batch %s is settled or pending, but the order''s claim has moved on from number %s to %s.',
        item.item_no, coalesce(batch_id, item.batch_no::text), item.claim_no, claim.claim_no
    ) AS detail
FROM all_items AS item
JOIN claims AS claim USING (order_id)
LEFT JOIN all_exceptions AS exception ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no
LEFT JOIN batches AS batch ON batch.batch_no = item.batch_no
WHERE item.claim_no < claim.claim_no AND exception.outcome IS NULL
ORDER BY order_id, item.claim_no
LIMIT $1
