-- Find items that should inherit the unknown but do not or were judged by a rule, and items that inherit it wrongly.
-- A pruned item no longer shows whether it inherited the unknown. It still shows how it was judged.
SELECT
    'unknown_forgotten' AS kind,
    item.order_id AS id,
    format(
        'Item %s of batch %s %s the unknown and is %s; the order''s previous item is %s for %s.',
        item.item_no, coalesce(batch_id, item.batch_no::text),
        CASE
            WHEN item.pruned_outcome IS NOT NULL THEN 'should inherit'
            WHEN item.inherits_unknown THEN 'inherits'
            ELSE 'does not inherit'
        END,
        coalesce(exception.outcome || ' for ' || exception.reason_code, 'settled or pending'),
        before.outcome, before.reason_code
    ) AS detail
FROM earlier_items AS earlier
JOIN all_exceptions AS before ON before.batch_no = earlier.batch_no AND before.item_no = earlier.item_no
CROSS JOIN LATERAL (SELECT before.reason_code IN ('OUTCOME_UNKNOWN', 'PAYLOAD_CONFLICT') AS is_unknown) AS credit
JOIN all_items AS item ON item.order_id = earlier.order_id AND item.claim_no = earlier.claim_no + 1
LEFT JOIN all_exceptions AS exception ON exception.batch_no = item.batch_no AND exception.item_no = item.item_no
LEFT JOIN batches AS batch ON batch.batch_no = item.batch_no
WHERE (item.pruned_outcome IS NULL AND is_unknown <> coalesce(item.inherits_unknown, false))
    OR (
        is_unknown
        AND exception.reason_code NOT IN (
            'OUTCOME_UNKNOWN', 'PAYLOAD_CONFLICT', 'ACCOUNT_NOT_FOUND', 'ACCOUNT_CLOSED', 'ACCOUNT_CURRENCY_DIFFERS',
            'DATA_ERROR'
        )
    )
ORDER BY item.order_id
LIMIT $1
