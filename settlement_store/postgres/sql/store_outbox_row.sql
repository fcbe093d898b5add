-- Store that a step over a range of items stored outcomes; relays deliver them.
INSERT INTO outbox (batch_no, item_start, item_end, step) VALUES ($1, $2, $3, $4)
