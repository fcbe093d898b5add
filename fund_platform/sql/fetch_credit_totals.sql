-- Add up the credit postings of these keys by currency, a key that comes twice once. Run with look-ups by index alone (`database.pools.look_up_by_index`).
SELECT currency, count(*) AS order_count, sum(amount_minor)::bigint AS amount_minor
FROM postings
WHERE idempotency_key = ANY (string_to_array($1, E'\x1f') COLLATE "C")
GROUP BY currency
