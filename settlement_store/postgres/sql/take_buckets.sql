-- Lease buckets to a relay; those that it holds already stay.
INSERT INTO relay_leases (bucket, relay_id) SELECT unnest($2::integer[]), $1 ON CONFLICT (bucket) DO NOTHING
