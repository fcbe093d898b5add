-- Let the transaction claim orders concurrently with others; it waits while one does so alone.
SELECT pg_advisory_xact_lock_shared(hashtextextended('settle: claims', 0))
