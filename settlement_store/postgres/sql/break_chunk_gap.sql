-- A chunk is missing, has another range than its batch's chunk size gives, or should not be there.
SELECT
    'chunk_gap' AS kind,
    format('%s.chunk-%s', batch_id, lpad(chunk_index::text, 6, '0')) AS id,
    format(
        'The chunk should hold the items %s; it holds %s.',
        coalesce(due.item_start || ' to ' || due.item_end - 1, 'of none'),
        coalesce(chunk.item_start || ' to ' || chunk.item_end - 1, 'none')
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
