-- Turn the answers to these requests, whose account a rival closed meanwhile, into refusals; keys and accounts are locked already.
-- An upsert, because it finds the rows by the index; see post_credits.
INSERT INTO credit_answers (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
SELECT idempotency_key, claim_no, 'account_closed', account_id, amount_minor, currency
FROM unnest(
    string_to_array($1, E'\x1f'), $2::text::integer[], string_to_array($3, E'\x1f'), $4::text::bigint[], string_to_array($5, E'\x1f')
) AS request (idempotency_key, claim_no, account_id, amount_minor, currency)
ON CONFLICT (idempotency_key) DO UPDATE SET result_code = excluded.result_code
