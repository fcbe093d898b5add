-- A request can be withdrawn for good. That is another refusal, stored under its key and claim number.

-- The check is not validated, because that would scan all answers under a lock. Existing answers satisfied the narrower
-- check.
ALTER TABLE credit_answers
    DROP CONSTRAINT credit_answers_result_code_check,
    ADD CONSTRAINT credit_answers_result_code_check CHECK (
        result_code IN ('created', 'account_not_found', 'account_closed', 'currency_mismatch', 'withdrawn')
    ) NOT VALID;
