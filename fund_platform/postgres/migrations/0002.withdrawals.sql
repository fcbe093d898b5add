-- A request can be withdrawn for good: one more refusal, stored under its key and claim number.

-- Not validated, since that would scan all answers under a lock: those that are there obey the narrower check before.
ALTER TABLE credit_answers
    DROP CONSTRAINT credit_answers_result_code_check,
    ADD CONSTRAINT credit_answers_result_code_check CHECK (
        result_code IN ('created', 'account_not_found', 'account_closed', 'currency_mismatch', 'withdrawn')
    ) NOT VALID;
