-- Store which range of items a step stored outcomes for; relays deliver them.
INSERT INTO outbox (batch_no, item_start, item_end, step) VALUES ($1, $2, $3, $4)
