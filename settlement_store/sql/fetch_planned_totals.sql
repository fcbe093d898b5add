-- Read the plan of a frozen batch.
SELECT currency, order_count, amount_minor FROM planned_totals WHERE batch_no = $1
