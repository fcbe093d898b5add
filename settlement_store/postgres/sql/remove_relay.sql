-- Remove a relay together with its leases.
DELETE FROM relays WHERE relay_id = $1
