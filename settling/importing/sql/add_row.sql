-- Store a row unless a row of the same order is already stored.
INSERT INTO first_rows (order_id, line, digest) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING
