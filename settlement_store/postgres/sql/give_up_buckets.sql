-- Delete a relay's leases of all buckets but these.
DELETE FROM relay_leases WHERE relay_id = $1 AND bucket <> ALL ($2::integer[])
