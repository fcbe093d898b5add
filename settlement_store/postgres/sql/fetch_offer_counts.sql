-- Add up the items, duplicates and conflicts of all batches.
SELECT
    coalesce(sum(item_count), 0)::bigint AS item_count,
    coalesce(sum(duplicate_count), 0)::bigint AS duplicate_count,
    coalesce(sum(conflict_count), 0)::bigint AS conflict_count
FROM batches
