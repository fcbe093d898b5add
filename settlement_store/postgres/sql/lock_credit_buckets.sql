-- Lock credit buckets in order and read them, with the database's clock after each was locked.
WITH locked AS MATERIALIZED (
    SELECT batch_no, free_at, promised_at
    FROM credit_buckets
    WHERE batch_no = ANY($1::integer[])
    ORDER BY batch_no
    FOR NO KEY UPDATE
)
SELECT
    batch_no,
    extract(epoch FROM free_at)::float8 AS free_at_s,
    extract(epoch FROM promised_at)::float8 AS promised_at_s,
    extract(epoch FROM clock_timestamp())::float8 AS now_s
FROM locked
