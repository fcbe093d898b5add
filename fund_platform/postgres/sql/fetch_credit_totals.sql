-- Add up the credit postings of these keys by currency; a key that is given twice counts once.
-- It runs with look-ups by index alone (`database.pools.look_up_by_index`). The keys are hidden in a sub-select from
-- the planner, which would estimate each of them.
SELECT currency, count(*) AS order_count, sum(amount_minor)::bigint AS amount_minor
FROM postings
WHERE idempotency_key = ANY ((SELECT string_to_array($1, E'\x1f') COLLATE "C")::text[])
GROUP BY currency
