-- Read a batch's plan, which covers the items appended so far.
SELECT currency, order_count, amount_minor FROM planned_totals WHERE batch_no = $1
