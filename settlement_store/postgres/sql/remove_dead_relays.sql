-- Remove other relays that were not renewed in time, together with their leases.
DELETE FROM relays WHERE live_until <= clock_timestamp() AND relay_id <> $1
