-- Turn the answers to these requests, whose account a rival closed meanwhile, into refusals; keys and accounts are locked already.
-- An upsert, because it finds the rows by the index; see post_credits.
INSERT INTO credit_answers (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
SELECT idempotency_key, claim_no, 'account_closed', account_id, amount_minor, currency
FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[], $5::text[])
    AS request (idempotency_key, claim_no, account_id, amount_minor, currency)
ON CONFLICT (idempotency_key) DO UPDATE SET result_code = excluded.result_code
