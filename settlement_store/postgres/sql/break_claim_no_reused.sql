-- Find items of one order that have the same claim number.
SELECT
    'claim_no_reused' AS kind,
    order_id AS id,
    format('%s items have claim number %s.', count(*), claim_no) AS detail
FROM all_items
GROUP BY order_id, claim_no
HAVING count(*) > 1
ORDER BY order_id, claim_no
LIMIT $1
