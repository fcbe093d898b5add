-- Record that a notice was handled. The time of its sending is in milliseconds since 1970.
INSERT INTO incident.handled_notices (topic, sent_at) VALUES (%s, to_timestamp(%s / 1000.0))
