-- Read the items of a range that have no stored outcome.
SELECT
    item_no, order_id, account_id, amount_minor, currency, claim_no,
    coalesce(inherits_unknown, false) AS inherits_unknown
FROM items
WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    AND item_no NOT IN (
        SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    )
ORDER BY item_no
