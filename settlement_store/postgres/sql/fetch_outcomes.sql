-- Read the outcomes that a step stored for a range of items: its exceptions and, if it closed the chunk, the settled.
-- The exceptions are identified by their time. Buckets are given as bits. Exceptions' items are looked up one by one:
-- without statistics, a join of the two ranges became quadratic.
SELECT order_id, account_id, amount_minor, currency, claim_no, outcome, reason_code
FROM (
    SELECT item_no, order_id, account_id, amount_minor, currency, claim_no, 'settled' AS outcome, NULL AS reason_code
    FROM items
    WHERE $6 = 'closed'
        AND batch_no = $1 AND item_no >= $2 AND item_no < $3
        AND item_no NOT IN (
            SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
        )
    UNION ALL
    SELECT
        item_no, order_id, account_id, amount_minor, currency, claim_no, exception.outcome, exception.reason_code
    FROM (
        SELECT item_no, outcome, reason_code FROM exception_items
        WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3 AND stored_at = $5
    ) AS exception
    CROSS JOIN LATERAL (
        SELECT order_id, account_id, amount_minor, currency, claim_no FROM items
        WHERE batch_no = $1 AND items.item_no = exception.item_no
        OFFSET 0
    ) AS item
) AS outcome
WHERE (1 << (crc32(convert_to(order_id, 'UTF8')) % 16)::integer) & $4::integer <> 0
ORDER BY item_no
