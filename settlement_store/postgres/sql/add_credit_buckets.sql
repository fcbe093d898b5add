-- Store credit buckets that are free, unless they are there.
INSERT INTO credit_buckets (batch_no)
SELECT unnest($1::integer[])
ON CONFLICT (batch_no) DO NOTHING
