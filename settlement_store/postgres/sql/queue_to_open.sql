-- Let the transaction count and open batches while no other one does.
SELECT pg_advisory_xact_lock(hashtextextended('settle: open batches', 0))
