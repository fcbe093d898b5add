-- A closed batch has no kept report, or one whose totals are not those of its plan and its chunks.
WITH closed AS MATERIALIZED (
    SELECT batch_no, batch_id, report::jsonb AS report
    FROM batches LEFT JOIN kept_reports USING (batch_no)
    WHERE state IN ('closed', 'aborted', 'out_of_balance') OR report IS NOT NULL
), kept AS (
    SELECT
        batch_no,
        part,
        currency,
        amount_minor::numeric AS amount_minor,
        (report -> part -> 'order_count_by_currency' ->> currency)::numeric AS order_count
    FROM closed
    CROSS JOIN unnest(ARRAY['planned', 'settled', 'rejected', 'failed', 'held']) AS part
    CROSS JOIN jsonb_each_text(report -> part -> 'amount_minor') AS total (currency, amount_minor)
), stored AS (
    SELECT batch_no, outcome AS part, currency, sum(amount_minor) AS amount_minor, sum(order_count) AS order_count
    FROM chunk_totals JOIN closed USING (batch_no)
    GROUP BY batch_no, outcome, currency
    UNION ALL
    SELECT batch_no, 'planned', currency, amount_minor, order_count FROM planned_totals JOIN closed USING (batch_no)
)
SELECT
    'kept_report_differs' AS kind,
    batch_id AS id,
    CASE
        WHEN report IS NULL THEN 'The batch is closed, but no report of it is kept.'
        ELSE format(
            'The kept report says %s orders and %s minor units of %s %s, the plan and the chunks say %s and %s.',
            coalesce(kept.order_count, 0), coalesce(kept.amount_minor, 0), currency, part,
            coalesce(stored.order_count, 0), coalesce(stored.amount_minor, 0)
        )
    END AS detail
FROM closed
LEFT JOIN (kept FULL JOIN stored USING (batch_no, part, currency)) USING (batch_no)
WHERE report IS NULL
    OR (kept.amount_minor, kept.order_count) IS DISTINCT FROM (stored.amount_minor, stored.order_count)
ORDER BY batch_id, part, currency
LIMIT $1
