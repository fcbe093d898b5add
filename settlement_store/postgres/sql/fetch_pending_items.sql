-- Read the items of a range that have no stored outcome, as one row of whole columns (`database.columns`).
-- The batch number is null if there is no such batch.
WITH batch AS MATERIALIZED (
    SELECT batch_no FROM batches WHERE batch_id = $1
)
SELECT
    (SELECT batch_no FROM batch) AS batch_no,
    string_agg(int8send(item_no), '') AS item_nos,
    string_agg(order_id, E'\x1f') AS order_ids,
    string_agg(account_id, E'\x1f') AS account_ids,
    string_agg(int8send(amount_minor), '') AS amounts_minor,
    string_agg(currency, E'\x1f') AS currencies,
    string_agg(int8send(claim_no), '') AS claim_nos,
    string_agg(boolsend(coalesce(inherits_unknown, false)), '') AS inherit_unknown
FROM (
    SELECT item_no, order_id, account_id, amount_minor, currency, claim_no, inherits_unknown
    FROM items
    WHERE batch_no = (SELECT batch_no FROM batch) AND item_no >= $2 AND item_no < $3
        AND item_no NOT IN (
            SELECT item_no FROM exception_items
            WHERE batch_no = (SELECT batch_no FROM batch) AND item_no >= $2 AND item_no < $3
        )
    ORDER BY item_no
) AS pending
