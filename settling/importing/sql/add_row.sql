-- Remember a row, unless a row of its order is remembered already.
INSERT INTO first_rows (order_id, line, digest) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING
