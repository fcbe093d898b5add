-- Move the items of whole chunks with their outcomes out of the tables that settling works on; delete the chunk states.
-- Items and exceptions meet by grouping: with old statistics, a join of the two became quadratic. An exception without
-- its item fails here, because it has no order id.
WITH item AS (
    DELETE FROM items
    WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    RETURNING order_id, claim_no, item_no, amount_minor, account_id, currency
), exception AS (
    DELETE FROM exception_items
    WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    RETURNING item_no, outcome, reason_code
), chunk AS (
    DELETE FROM chunk_states WHERE batch_no = $1 AND chunk_index >= $4 AND chunk_index < $5
)
INSERT INTO pruned_items (
    order_id, claim_no, batch_no, item_no, amount_minor, account_id, currency, outcome, reason_code
)
SELECT
    max(order_id), max(claim_no), $1, item_no, max(amount_minor), max(account_id), max(currency),
    coalesce(max(outcome), 'settled'), max(reason_code)
FROM (
    SELECT item_no, order_id, claim_no, amount_minor, account_id, currency, NULL AS outcome, NULL AS reason_code
    FROM item
    UNION ALL
    SELECT item_no, NULL, NULL, NULL, NULL, NULL, outcome, reason_code FROM exception
) AS part
GROUP BY item_no
ORDER BY 1, 2
