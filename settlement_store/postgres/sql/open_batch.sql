-- Store a new, empty batch unless its id exists or one of the conditions refuses it.
INSERT INTO batches (
    batch_id, source, state, business_date, cutoff_at, chunk_size, window_size,
    rerun_of, rerun_outcomes, rerun_reason_code, credits_per_s
)
SELECT $1, $2, 'open', $3, $4, $5, $6, $7, string_to_array($8, ','), $9, $11
WHERE (SELECT count(*) FROM batches WHERE state IN ('open', 'frozen', 'running')) < $10
    AND ($4::timestamptz IS NULL OR $4 <= now() + $12 * interval '1 second')
    AND NOT EXISTS (
        SELECT FROM kept_reports JOIN batches USING (batch_no) WHERE batch_id = $7 AND pruning_began_at IS NOT NULL
    )
ON CONFLICT (batch_id) DO NOTHING
