-- Give up all buckets of a relay but these.
DELETE FROM relay_leases WHERE relay_id = $1 AND bucket <> ALL ($2::integer[])
