-- Find chunks that are missing, have another range than their batch's chunk size gives, or should not exist.
SELECT
    'chunk_gap' AS kind,
    format('%s.chunk-%s', batch_id, lpad(chunk_index::text, 6, '0')) AS id,
    format(
        'The chunk should have %s; it has %s.',
        coalesce('items ' || due.item_start || ' to ' || due.item_end - 1, 'no items'),
        coalesce('items ' || chunk.item_start || ' to ' || chunk.item_end - 1, 'no items')
    ) AS detail
FROM (
    SELECT
        batch_no,
        chunk_index,
        chunk_index * chunk_size AS item_start,
        least((chunk_index + 1) * chunk_size, item_count) AS item_end
    FROM batches CROSS JOIN generate_series(pruned_chunk_count, (item_count + chunk_size - 1) / chunk_size - 1) AS chunk_index
    WHERE state <> 'open'
) AS due
FULL JOIN chunk_states AS chunk USING (batch_no, chunk_index)
JOIN batches AS batch USING (batch_no)
WHERE (due.item_start, due.item_end) IS DISTINCT FROM (chunk.item_start, chunk.item_end)
ORDER BY batch_no, chunk_index
LIMIT $1
