-- Let the transaction lease buckets while no other one does.
SELECT pg_advisory_xact_lock(hashtextextended('settle: lease buckets', 0))
