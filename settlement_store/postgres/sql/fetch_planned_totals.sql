-- Read a batch's plan, as far as it is appended.
SELECT currency, order_count, amount_minor FROM planned_totals WHERE batch_no = $1
