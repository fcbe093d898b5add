-- Write down that a notice was handled; it was sent at a time in milliseconds.
INSERT INTO incident.handled_notices (topic, sent_at) VALUES (%s, to_timestamp(%s / 1000.0))
