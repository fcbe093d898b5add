-- Find closed batches without a report that agrees with state, plan and chunks, and batches that are pruned unmarked.
-- It also finds reports that contradict themselves.
WITH closed AS MATERIALIZED (
    SELECT
        batch_no,
        batch_id,
        state,
        report::jsonb AS report,
        (pruned_chunk_count > 0 OR pruned_at IS NOT NULL) AND pruning_began_at IS NULL AS is_pruned_unmarked
    FROM batches LEFT JOIN kept_reports USING (batch_no)
    WHERE state IN ('closed', 'aborted', 'out_of_balance') OR report IS NOT NULL OR pruned_chunk_count > 0
), kept AS (
    SELECT
        batch_no,
        part,
        currency,
        amount_minor::numeric AS amount_minor,
        (report -> part -> 'order_count_by_currency' ->> currency)::numeric AS order_count
    FROM closed
    CROSS JOIN unnest(ARRAY['planned', 'settled', 'rejected', 'failed', 'held', 'unconfirmed', 'ledger']) AS part
    CROSS JOIN jsonb_each_text(report -> part -> 'amount_minor') AS total (currency, amount_minor)
), stored AS (
    SELECT batch_no, outcome AS part, currency, sum(amount_minor) AS amount_minor, sum(order_count) AS order_count
    FROM chunk_totals JOIN closed USING (batch_no)
    GROUP BY batch_no, outcome, currency
    UNION ALL
    SELECT batch_no, 'planned', currency, amount_minor, order_count FROM planned_totals JOIN closed USING (batch_no)
    UNION ALL
    SELECT batch_no, 'ledger', currency, sum(amount_minor), sum(order_count)
    FROM kept
    WHERE part IN ('settled', 'unconfirmed')
    GROUP BY batch_no, currency
)
SELECT
    'kept_report_differs' AS kind,
    batch_id AS id,
    CASE
        WHEN report IS NULL THEN 'The batch is closed, but it has no kept report.'
        WHEN is_pruned_unmarked THEN 'Items of the batch are pruned, but it is not marked as being pruned.'
        WHEN report ->> 'state' <> state
            THEN format('The kept report has the state %s, but the batch is %s.', report ->> 'state', state)
        ELSE format(
            'The kept report has %s orders and %s minor units of %s as %s; %s %s and %s.',
            coalesce(kept.order_count, 0), coalesce(kept.amount_minor, 0), currency, part,
            CASE WHEN part = 'ledger' THEN 'its settled and unconfirmed add up to' ELSE 'the plan and the chunks have' END,
            coalesce(stored.order_count, 0), coalesce(stored.amount_minor, 0)
        )
    END AS detail
FROM closed
LEFT JOIN (
    (SELECT * FROM kept WHERE part <> 'unconfirmed') AS kept FULL JOIN stored USING (batch_no, part, currency)
) USING (batch_no)
WHERE report IS NULL
    OR is_pruned_unmarked
    OR report ->> 'state' <> state
    OR (
        (kept.amount_minor, kept.order_count) IS DISTINCT FROM (stored.amount_minor, stored.order_count)
        AND NOT (state = 'out_of_balance' AND part = 'ledger')
    )
ORDER BY batch_id, part, currency
LIMIT $1
