-- Wait until no other transaction claims orders, and make later ones wait until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended('settle: claims', 0))
