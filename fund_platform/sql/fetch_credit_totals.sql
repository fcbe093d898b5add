-- Add up the credit postings of these keys by currency, one index lookup per key.
SELECT posting.currency, count(*) AS order_count, sum(posting.amount_minor)::bigint AS amount_minor
FROM (SELECT DISTINCT idempotency_key FROM unnest($1::text[] COLLATE "C") AS idempotency_key) AS wanted
CROSS JOIN LATERAL (
    SELECT currency, amount_minor FROM postings
    WHERE postings.idempotency_key = wanted.idempotency_key
    OFFSET 0
) AS posting
GROUP BY posting.currency
