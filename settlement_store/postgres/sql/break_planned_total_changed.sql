-- Find batches whose stored plan is not the sum of their items.
SELECT
    'planned_total_changed' AS kind,
    coalesce(batch.batch_id, batch_no::text) AS id,
    format(
        'The plan has %s orders and %s minor units of %s; the items have %s and %s.',
        coalesce(plan.order_count, 0), coalesce(plan.amount_minor, 0), currency,
        coalesce(summed.order_count, 0), coalesce(summed.amount_minor, 0)
    ) AS detail
FROM planned_totals AS plan
FULL JOIN (
    SELECT batch_no, currency, count(*) AS order_count, sum(amount_minor) AS amount_minor
    FROM all_items
    GROUP BY batch_no, currency
) AS summed USING (batch_no, currency)
LEFT JOIN batches AS batch USING (batch_no)
WHERE (plan.order_count, plan.amount_minor) IS DISTINCT FROM (summed.order_count, summed.amount_minor)
ORDER BY batch_no, currency
LIMIT $1
