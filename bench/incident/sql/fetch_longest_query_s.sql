-- Fetch the seconds that the longest statement of the other clients has been running.
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::double precision
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
