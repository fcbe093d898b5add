-- Remove other relays that were not renewed in time, and with them their leases.
DELETE FROM relays WHERE live_until <= clock_timestamp() AND relay_id <> $1
