-- Refuse for good requests whose key is new or was refused under a lower claim number, and return the other keys.
-- The other keys were answered before. Keys are locked in key order, as in post_credits.
WITH request AS MATERIALIZED (
    SELECT *
    FROM unnest(
        string_to_array($1, E'\x1f') COLLATE "C", $2::text::integer[], string_to_array($3, E'\x1f') COLLATE "C", $4::text::bigint[],
        string_to_array($5, E'\x1f') COLLATE "C"
    )
        AS offered (idempotency_key, claim_no, account_id, amount_minor, currency)
), withdrawn AS (
    INSERT INTO credit_answers AS stored (idempotency_key, claim_no, result_code, account_id, amount_minor, currency)
    SELECT idempotency_key, claim_no, 'withdrawn', account_id, amount_minor, currency
    FROM request
    ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO UPDATE SET
        claim_no = excluded.claim_no,
        result_code = excluded.result_code,
        account_id = excluded.account_id,
        amount_minor = excluded.amount_minor,
        currency = excluded.currency
    WHERE stored.result_code <> 'created' AND stored.claim_no < excluded.claim_no
    RETURNING idempotency_key
)
SELECT request.idempotency_key
FROM request LEFT JOIN withdrawn ON withdrawn.idempotency_key = request.idempotency_key
WHERE withdrawn.idempotency_key IS NULL
