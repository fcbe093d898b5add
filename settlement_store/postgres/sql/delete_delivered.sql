-- Delete an outbox row that is delivered for all buckets, which are given as bits.
DELETE FROM outbox WHERE outbox_no = $1 AND delivered_buckets = $2
