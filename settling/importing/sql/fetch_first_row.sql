-- Read the line number and the digest of an order's first row.
SELECT line, digest FROM first_rows WHERE order_id = ?
