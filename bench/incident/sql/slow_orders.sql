-- Make every read of the orders slow until a stored time, with a view in place of the table.
CREATE SCHEMA incident;

CREATE TABLE incident.slowness (slow_until timestamptz NOT NULL, sleep_s double precision NOT NULL);

CREATE FUNCTION incident.wait_while_slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_sleep(sleep_s) FROM incident.slowness WHERE clock_timestamp() < slow_until;
    RETURN true;
END
$$;

-- The function is called in a sub-select, so it runs once per statement and not once per row.
ALTER TABLE order_center.orders RENAME TO stored_orders;
CREATE VIEW order_center.orders AS
    SELECT * FROM order_center.stored_orders WHERE (SELECT incident.wait_while_slow());

-- The notices that the other topic's consumers handled.
CREATE TABLE incident.handled_notices (
    topic text NOT NULL,
    sent_at timestamptz NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
