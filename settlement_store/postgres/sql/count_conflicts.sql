-- Add orders that the Fund Platform credited with another payload to their batch's conflicts.
UPDATE batches SET conflict_count = conflict_count + $2 WHERE batch_no = $1
