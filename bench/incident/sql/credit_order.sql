-- Credit an order to its account.
WITH credit AS (
    INSERT INTO shared_pool.credits (order_id, account_id, amount_minor) VALUES (%s, %s, %s)
    RETURNING account_id, amount_minor
)
UPDATE shared_pool.accounts
SET balance_minor = balance_minor + credit.amount_minor
FROM credit WHERE accounts.account_id = credit.account_id
