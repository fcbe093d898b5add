-- Store the plan of a batch: the control totals of its items.
INSERT INTO planned_totals (batch_no, currency, order_count, amount_minor)
SELECT $1, currency, count(*), sum(amount_minor) FROM items WHERE batch_no = $1 GROUP BY currency
