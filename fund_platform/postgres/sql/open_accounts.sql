-- Open the accounts that do not exist yet, in account order: concurrent calls wait for each other and cannot deadlock.
INSERT INTO accounts (account_id, currency)
SELECT account_id, currency
FROM unnest($1::text[] COLLATE "C", $2::text[] COLLATE "C") AS opening (account_id, currency)
ORDER BY account_id
ON CONFLICT (account_id) DO NOTHING
