-- Store these refusals as the answers under their keys, which this transaction has already locked.
-- The rows are few: a chunk's refused credits. An upsert finds them by the index; its insert never happens, because the
-- rows exist.
INSERT INTO credit_answers (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
SELECT idempotency_key, claim_no, result_code, account_id, amount_minor, currency
FROM unnest(
    string_to_array($1, E'\x1f'), $2::text::integer[], string_to_array($3, E'\x1f'), $4::text::bigint[],
    string_to_array($5, E'\x1f'), string_to_array($6, E'\x1f')
) AS request (idempotency_key, claim_no, account_id, amount_minor, currency, result_code)
ON CONFLICT (idempotency_key) DO UPDATE SET result_code = excluded.result_code
