-- Freeze a batch, and fill in the cutoff and the business date if it was opened without them.
UPDATE batches SET
    state = 'frozen',
    frozen_at = now(),
    cutoff_at = coalesce(cutoff_at, now()),
    business_date = coalesce(business_date, $2)
WHERE batch_no = $1
