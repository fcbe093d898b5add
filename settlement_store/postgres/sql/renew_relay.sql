-- Make a relay live for some seconds from now on, by a clock that does not stop while the transaction waits.
INSERT INTO relays (relay_id, live_until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (relay_id) DO UPDATE SET live_until = excluded.live_until
