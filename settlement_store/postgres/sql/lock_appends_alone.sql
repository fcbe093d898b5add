-- Let the transaction claim orders while no other one does; waits for those under way and goes before later ones.
SELECT pg_advisory_xact_lock(hashtextextended('settle: claims', 0))
