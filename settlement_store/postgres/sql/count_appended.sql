-- Add an append's counts to its batch.
UPDATE batches SET
    item_count = item_count + $2,
    duplicate_count = duplicate_count + $3,
    conflict_count = conflict_count + $4
WHERE batch_no = $1
