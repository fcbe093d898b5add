-- Make reading the orders slow until a stored time, for whoever reads them, by a view in the place of the table.
CREATE SCHEMA incident;

CREATE TABLE incident.slowness (slow_until timestamptz NOT NULL, sleep_s double precision NOT NULL);

CREATE FUNCTION incident.wait_while_slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_sleep(sleep_s) FROM incident.slowness WHERE clock_timestamp() < slow_until;
    RETURN true;
END
$$;

-- The function stands in a sub-select of its own, so that it is called once a statement, not once a row.
ALTER TABLE order_center.orders RENAME TO stored_orders;
CREATE VIEW order_center.orders AS
    SELECT * FROM order_center.stored_orders WHERE (SELECT incident.wait_while_slow());

-- What the consumers of the other topic have handled.
CREATE TABLE incident.handled_notices (
    topic text NOT NULL,
    sent_at timestamptz NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
