-- Read the items of a range that have no stored outcome, as one row of whole columns (`database.columns`).
SELECT
    string_agg(item_no::text, ',') AS item_nos,
    string_agg(order_id, E'\x1f') AS order_ids,
    string_agg(account_id, E'\x1f') AS account_ids,
    string_agg(amount_minor::text, ',') AS amounts_minor,
    string_agg(currency, E'\x1f') AS currencies,
    string_agg(claim_no::text, ',') AS claim_nos,
    string_agg(CASE WHEN inherits_unknown THEN 't' ELSE 'f' END, ',') AS inherit_unknown
FROM (
    SELECT item_no, order_id, account_id, amount_minor, currency, claim_no, inherits_unknown
    FROM items
    WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
        AND item_no NOT IN (
            SELECT item_no FROM exception_items WHERE batch_no = $1 AND item_no >= $2 AND item_no < $3
        )
    ORDER BY item_no
) AS pending
