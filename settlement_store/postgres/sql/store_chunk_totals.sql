-- Store a closed chunk's control totals, summed from its items: those without an exception are settled.
-- The settled totals are all items less the exceptions. Only exceptions are looked up one by one: without statistics, a
-- join of the two ranges became quadratic.
WITH exception AS MATERIALIZED (
    SELECT exception.outcome, item.currency, count(*) AS order_count, sum(item.amount_minor) AS amount_minor
    FROM (
        SELECT item_no, outcome FROM exception_items WHERE batch_no = $1 AND item_no >= $3 AND item_no < $4
    ) AS exception
    CROSS JOIN LATERAL (
        SELECT currency, amount_minor FROM items WHERE batch_no = $1 AND items.item_no = exception.item_no OFFSET 0
    ) AS item
    GROUP BY exception.outcome, item.currency
), settled AS (
    SELECT currency, sum(order_count) AS order_count, sum(amount_minor) AS amount_minor
    FROM (
        SELECT currency, count(*) AS order_count, sum(amount_minor) AS amount_minor
        FROM items
        WHERE batch_no = $1 AND item_no >= $3 AND item_no < $4
        GROUP BY currency
        UNION ALL
        SELECT currency, -order_count, -amount_minor FROM exception
    ) AS part
    GROUP BY currency
    HAVING sum(order_count) > 0
)
INSERT INTO chunk_totals (batch_no, chunk_index, outcome, currency, order_count, amount_minor)
SELECT $1::integer, $2::integer, outcome, currency, order_count, amount_minor FROM exception
UNION ALL
SELECT $1::integer, $2::integer, 'settled', currency, order_count, amount_minor FROM settled
ON CONFLICT (batch_no, chunk_index, outcome, currency) DO UPDATE SET
    order_count = excluded.order_count,
    amount_minor = excluded.amount_minor
RETURNING outcome, currency, order_count, amount_minor
