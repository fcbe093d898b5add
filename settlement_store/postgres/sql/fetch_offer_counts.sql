-- Add up the duplicates and conflicts of all batches.
SELECT
    coalesce(sum(duplicate_count), 0)::bigint AS duplicate_count,
    coalesce(sum(conflict_count), 0)::bigint AS conflict_count
FROM batches
