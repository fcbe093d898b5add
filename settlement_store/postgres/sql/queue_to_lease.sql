-- Wait until no other transaction leases buckets, and make later ones wait until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended('settle: lease buckets', 0))
