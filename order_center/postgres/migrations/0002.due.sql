-- The one definition of the amount due to a customer for an order.
ALTER TABLE orders ADD COLUMN due_minor bigint GENERATED ALWAYS AS (paid_minor - refunded_minor) VIRTUAL;
