-- Add up a batch's control totals by outcome, from those of its chunks.
SELECT outcome, currency, sum(order_count)::bigint AS order_count, sum(amount_minor)::bigint AS amount_minor
FROM chunk_totals
WHERE batch_no = $1
GROUP BY outcome, currency
