-- Read the time that the database gives this transaction.
SELECT now()
