-- Find chunks whose stored control totals are not the sum of their items' outcomes.
SELECT
    'chunk_totals_differ' AS kind,
    format('%s.chunk-%s', coalesce(batch_id, batch_no::text), lpad(chunk_index::text, 6, '0')) AS id,
    format(
        'The chunk''s totals have %s %s orders and %s minor units of %s; its items have %s and %s.',
        coalesce(stored.order_count, 0), outcome, coalesce(stored.amount_minor, 0), currency,
        coalesce(summed.order_count, 0), coalesce(summed.amount_minor, 0)
    ) AS detail
FROM chunk_totals AS stored
FULL JOIN (
    SELECT batch_no, chunk_index, outcome, currency, count(*) AS order_count, sum(amount_minor) AS amount_minor
    FROM item_outcomes
    WHERE outcome <> 'pending' AND chunk_index IS NOT NULL
    GROUP BY batch_no, chunk_index, outcome, currency
) AS summed USING (batch_no, chunk_index, outcome, currency)
LEFT JOIN batches USING (batch_no)
WHERE (stored.order_count, stored.amount_minor) IS DISTINCT FROM (summed.order_count, summed.amount_minor)
ORDER BY batch_no, chunk_index, outcome, currency
LIMIT $1
