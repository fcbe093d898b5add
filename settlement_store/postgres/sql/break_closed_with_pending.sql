-- Find final batches with chunks that are not closed.
SELECT
    'closed_with_pending' AS kind,
    batch_id AS id,
    format('The batch is %s, but %s of its chunks are not closed.', min(batch.state), count(*)) AS detail
FROM batches AS batch JOIN chunk_states AS chunk USING (batch_no)
WHERE batch.state IN ('closed', 'aborted', 'out_of_balance') AND chunk.state <> 'closed'
GROUP BY batch_id
ORDER BY batch_id
LIMIT $1
