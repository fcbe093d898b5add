-- Cut a batch into chunks.
INSERT INTO chunk_states (batch_no, chunk_index, item_start, item_end, state)
SELECT $1, chunk_index, chunk_index * $3::integer, least((chunk_index + 1) * $3::integer, $2::integer), 'planned'
FROM generate_series(0, ($2::integer + $3::integer - 1) / $3::integer - 1) AS chunk_index
