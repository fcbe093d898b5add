-- Find claims that are released although their item is settled, held or pending.
SELECT
    'claim_released_early' AS kind,
    order_id AS id,
    format(
        'Item %s of batch %s is %s, but the order''s claim is released: the order could become another item.',
        item_no, coalesce(batch_id, batch_no::text), coalesce(outcome, 'settled or pending')
    ) AS detail
FROM claims
LEFT JOIN all_exceptions USING (batch_no, item_no)
LEFT JOIN batches USING (batch_no)
WHERE NOT is_held AND (outcome IS NULL OR outcome = 'held')
ORDER BY order_id
LIMIT $1
