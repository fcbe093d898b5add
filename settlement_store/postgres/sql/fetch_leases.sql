-- Read all relays with the buckets that each holds.
SELECT relay_id, coalesce(array_agg(bucket) FILTER (WHERE bucket IS NOT NULL), '{}') AS buckets
FROM relays LEFT JOIN relay_leases USING (relay_id)
GROUP BY relay_id
