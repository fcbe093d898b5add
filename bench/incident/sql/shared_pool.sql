-- Create the tables of the design that failed: a copy of the orders without an index, accounts, and its credits.
CREATE SCHEMA shared_pool;

CREATE TABLE shared_pool.stored_orders AS
    SELECT order_id, account_id, paid_minor - refunded_minor AS amount_minor, currency, status
    FROM order_center.stored_orders;

CREATE VIEW shared_pool.orders AS
    SELECT * FROM shared_pool.stored_orders WHERE (SELECT incident.wait_while_slow());

CREATE TABLE shared_pool.accounts AS SELECT account_id, 0::bigint AS balance_minor FROM fund_platform.accounts;
ALTER TABLE shared_pool.accounts ADD PRIMARY KEY (account_id);

CREATE TABLE shared_pool.credits (order_id text NOT NULL, account_id text NOT NULL, amount_minor bigint NOT NULL);
