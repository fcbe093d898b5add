-- Remove a relay, and with it its leases.
DELETE FROM relays WHERE relay_id = $1
