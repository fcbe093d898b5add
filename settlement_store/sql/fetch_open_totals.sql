-- Sum the items that an open batch has so far.
SELECT currency, count(*) AS order_count, sum(amount_minor)::bigint AS amount_minor
FROM items
WHERE batch_no = $1
GROUP BY currency
