-- Store the records that are new or differ from the stored ones, with new versions, and list them as unacknowledged.
-- Both tables are written in order_id order, orders first, so concurrent loads of the same orders wait for each other
-- and cannot deadlock.
WITH loaded AS (
    INSERT INTO orders AS stored (
        order_id, account_id, paid_minor, refunded_minor, currency, status, completed_at, after_sale_ends_at, version
    )
    SELECT
        order_id, account_id, paid_minor, refunded_minor, currency, status, completed_at, after_sale_ends_at,
        nextval('order_versions')
    FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[],
        $8::timestamptz[]
    ) AS r (
        order_id, account_id, paid_minor, refunded_minor, currency, status, completed_at, after_sale_ends_at
    )
    ORDER BY order_id COLLATE "C"
    ON CONFLICT (order_id) DO UPDATE SET
        account_id = excluded.account_id,
        paid_minor = excluded.paid_minor,
        refunded_minor = excluded.refunded_minor,
        currency = excluded.currency,
        status = excluded.status,
        completed_at = excluded.completed_at,
        after_sale_ends_at = excluded.after_sale_ends_at,
        version = nextval('order_versions')
    WHERE (
        stored.account_id, stored.paid_minor, stored.refunded_minor, stored.currency, stored.status,
        stored.completed_at, stored.after_sale_ends_at
    ) IS DISTINCT FROM (
        excluded.account_id, excluded.paid_minor, excluded.refunded_minor, excluded.currency, excluded.status,
        excluded.completed_at, excluded.after_sale_ends_at
    )
    RETURNING order_id, after_sale_ends_at, version
)
INSERT INTO unacknowledged_orders (order_id, after_sale_ends_at, version)
SELECT order_id, after_sale_ends_at, version FROM loaded
ORDER BY order_id
ON CONFLICT (order_id) DO UPDATE SET
    after_sale_ends_at = excluded.after_sale_ends_at,
    version = excluded.version
