-- Wait until no other transaction counts and opens batches, and make later ones wait until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended('settle: open batches', 0))
