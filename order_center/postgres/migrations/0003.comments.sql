-- A sentence on each table, kept in the database for whoever looks at it there. The reference of the docs shows them.

COMMENT ON TABLE orders IS 'One row per order: the newest record of it, with amounts in minor units and a version.';
COMMENT ON TABLE unacknowledged_orders IS 'The orders to offer: those whose newest version nobody has acknowledged yet.';
