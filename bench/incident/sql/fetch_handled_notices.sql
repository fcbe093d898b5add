-- Fetch the number of handled notices of a topic, and the median and longest delay from their sending.
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY delay_s), max(delay_s)
FROM (
    SELECT extract(epoch FROM handled_at - sent_at)::double precision AS delay_s
    FROM incident.handled_notices
    WHERE topic = %s
) AS handled
