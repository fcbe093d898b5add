-- Mark an outbox row delivered for those of the given buckets, as bits, that the relay still holds.
WITH held AS (
    SELECT coalesce(bit_or(1 << bucket), 0) & $2::integer AS buckets
    FROM relay_leases JOIN relays USING (relay_id)
    WHERE relay_id = $3 AND live_until > clock_timestamp()
)
UPDATE outbox SET delivered_buckets = delivered_buckets | held.buckets
FROM held
WHERE outbox_no = $1
RETURNING held.buckets
