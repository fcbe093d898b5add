-- An item has an outcome before its chunk has a stored validation, or one before closing that only a closed chunk can have.
-- Validation rejects, fails what it could not judge, and holds what it did not come to. It judges no item that inherits the unknown.
SELECT
    'outcome_too_early' AS kind,
    order_id AS id,
    format(
        'Item %s of batch %s is %s for %s, but its chunk is %s.',
        item_no, batch_id, outcome, reason_code, coalesce(chunk_state, 'not there')
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
