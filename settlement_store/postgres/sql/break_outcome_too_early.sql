-- Find items with an outcome before their chunk's validation is stored, or with a closed chunk's before it is closed.
-- Validation can reject items, fail those that it could not judge, and hold those that it did not reach. It does not
-- judge items that inherit the unknown.
SELECT
    'outcome_too_early' AS kind,
    order_id AS id,
    format(
        'Item %s of batch %s is %s for %s, but its chunk is %s.',
        item_no, batch_id, outcome, reason_code, coalesce(chunk_state, 'missing')
    ) AS detail
FROM item_outcomes
WHERE reason_code IS NOT NULL
    AND NOT is_pruned
    AND chunk_state IS DISTINCT FROM 'closed'
    AND (
        chunk_state IS DISTINCT FROM 'validated'
        OR NOT (outcome = 'rejected' OR reason_code IN ('DATA_ERROR', 'NOT_ATTEMPTED'))
    )
ORDER BY order_id
LIMIT $1
