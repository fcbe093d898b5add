-- Move the items of whole chunks out of the tables that settling works on, each with its outcome, and drop their chunk states.
-- All parts see what was there before: an item's exception, which another part deletes, is looked up by key. A join of what
-- the two deleted became quadratic where statistics lacked.
WITH item AS (
    DELETE FROM items
    WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
    RETURNING order_id, claim_no, batch_no, item_no, amount_minor, account_id, currency
), exception AS (
    DELETE FROM exception_items
    WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
), chunk AS (
    DELETE FROM chunk_states WHERE batch_no = $1 AND chunk_index >= $4 AND chunk_index < $5
)
INSERT INTO pruned_items (
    order_id, claim_no, batch_no, item_no, amount_minor, account_id, currency, outcome, reason_code
)
SELECT
    order_id, claim_no, batch_no, item_no, amount_minor, account_id, currency,
    coalesce(outcome, 'settled'), reason_code
FROM item
LEFT JOIN LATERAL (
    SELECT outcome, reason_code FROM exception_items
    WHERE exception_items.batch_no = $1 AND exception_items.item_no = item.item_no
    OFFSET 0
) AS exception ON true
ORDER BY order_id, claim_no
