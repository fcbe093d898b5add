-- Answer requests from the answers stored under their keys.
-- It is a statement of its own: its snapshot must see the rival calls that the posting waited for.
SELECT
    request.idempotency_key,
    CASE
        WHEN stored.result_code <> 'created' AND stored.claim_no > request.claim_no THEN 'superseded'
        WHEN stored.result_code <> 'created' THEN stored.result_code
        WHEN stored.account_id = request.account_id
            AND stored.amount_minor = request.amount_minor
            AND stored.currency = request.currency THEN 'exists'
        ELSE 'exists_with_different_payload'
    END AS result_code
FROM unnest(
    string_to_array($1, E'\x1f') COLLATE "C", $2::text::integer[], string_to_array($3, E'\x1f') COLLATE "C", $4::text::bigint[],
    string_to_array($5, E'\x1f') COLLATE "C"
) AS request (idempotency_key, claim_no, account_id, amount_minor, currency)
CROSS JOIN LATERAL (
    SELECT claim_no, result_code, account_id, amount_minor, currency FROM credit_answers
    WHERE credit_answers.idempotency_key = request.idempotency_key
    OFFSET 0
) AS stored
