-- What a customer is due for an order, said in one place.
ALTER TABLE orders ADD COLUMN due_minor bigint GENERATED ALWAYS AS (paid_minor - refunded_minor) VIRTUAL;
