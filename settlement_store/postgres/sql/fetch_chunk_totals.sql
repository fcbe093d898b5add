-- Read the control totals of the outcomes that a chunk has so far.
SELECT outcome, currency, order_count, amount_minor FROM chunk_totals WHERE batch_no = $1 AND chunk_index = $2
