-- Store a new, empty batch unless its id is taken.
INSERT INTO batches (batch_id, source, state, business_date, cutoff_at, chunk_size, window_size)
VALUES ($1, $2, 'open', $3, $4, $5, $6)
ON CONFLICT (batch_id) DO NOTHING
