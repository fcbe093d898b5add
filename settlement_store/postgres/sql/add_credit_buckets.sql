-- Store free credit buckets for the numbers that have none.
INSERT INTO credit_buckets (batch_no)
SELECT unnest($1::integer[])
ON CONFLICT (batch_no) DO NOTHING
