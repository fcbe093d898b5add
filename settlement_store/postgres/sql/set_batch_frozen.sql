-- Freeze a batch, and give it the cutoff and the business date that it was opened without.
UPDATE batches SET
    state = 'frozen',
    frozen_at = now(),
    cutoff_at = coalesce(cutoff_at, now()),
    business_date = coalesce(business_date, $2)
WHERE batch_no = $1
