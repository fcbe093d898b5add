-- Find items that their order's claim has moved on from and whose place is not recorded.
SELECT
    'earlier_item_forgotten' AS kind,
    item.order_id AS id,
    format(
        'Item %s of batch %s has claim number %s; the order''s earlier item with that number is %s.',
        item.item_no, coalesce(batch_id, item.batch_no::text), item.claim_no,
        coalesce('recorded as item ' || earlier.item_no || ' of batch number ' || earlier.batch_no, 'not recorded')
    ) AS detail
FROM all_items AS item
JOIN claims AS claim ON claim.order_id = item.order_id
LEFT JOIN earlier_items AS earlier ON earlier.order_id = item.order_id AND earlier.claim_no = item.claim_no
LEFT JOIN batches AS batch ON batch.batch_no = item.batch_no
WHERE item.claim_no < claim.claim_no
    AND (earlier.batch_no, earlier.item_no) IS DISTINCT FROM (item.batch_no, item.item_no)
ORDER BY item.order_id, item.claim_no
LIMIT $1
