-- Read where the first row of an order stands, and its digest.
SELECT line, digest FROM first_rows WHERE order_id = ?
