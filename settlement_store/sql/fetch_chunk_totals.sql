-- Read a closed chunk's stored control totals.
SELECT outcome, currency, order_count, amount_minor FROM chunk_totals WHERE batch_no = $1 AND chunk_index = $2
