-- Store locked credit buckets as a turn has changed them.
UPDATE credit_buckets AS bucket
SET free_at = to_timestamp(planned.free_at_s), promised_at = to_timestamp(planned.promised_at_s)
FROM unnest($1::integer[], $2::float8[], $3::float8[]) AS planned (batch_no, free_at_s, promised_at_s)
WHERE bucket.batch_no = planned.batch_no
