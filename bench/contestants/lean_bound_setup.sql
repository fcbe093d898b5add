-- Create the lean bound's tables: orders with a status, a journal with a row per order, balances. The fill factor leaves room for updates.
CREATE SCHEMA lean;
CREATE TABLE lean.orders WITH (fillfactor = 70) AS
SELECT order_id, account_id, paid_minor - refunded_minor AS amount_minor, currency, 'due'::text AS status
FROM order_center.orders;
ALTER TABLE lean.orders ADD PRIMARY KEY (order_id);
CREATE TABLE lean.accounts WITH (fillfactor = 70) AS SELECT account_id, 0::bigint AS balance_minor FROM fund_platform.accounts;
ALTER TABLE lean.accounts ADD PRIMARY KEY (account_id);
CREATE TABLE lean.journal (
    idempotency_key text COLLATE "C" NOT NULL PRIMARY KEY,
    account_id text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL
);
ANALYZE lean.orders, lean.accounts;
