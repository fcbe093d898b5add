-- Add up the credit postings of these keys by currency, one index lookup per key.
SELECT posting.currency, count(*) AS order_count, sum(posting.amount_minor)::bigint AS amount_minor
FROM unnest(string_to_array($1, E'\x1f') COLLATE "C") AS wanted (idempotency_key)
CROSS JOIN LATERAL (
    SELECT currency, amount_minor FROM postings
    WHERE postings.idempotency_key = wanted.idempotency_key
    OFFSET 0
) AS posting
GROUP BY posting.currency
