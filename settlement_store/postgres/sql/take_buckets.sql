-- Lease buckets to a relay; leases that exist stay.
INSERT INTO relay_leases (bucket, relay_id) SELECT unnest($2::integer[]), $1 ON CONFLICT (bucket) DO NOTHING
