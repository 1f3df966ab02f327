CREATE MATERIALIZED VIEW IF NOT EXISTS latency_of_events TO latency
AS WITH dateDiff('microsecond', if(source = 'http', sent, occurred), now64(6, 'UTC')) / 1e6 AS waited_s
SELECT project_id, toStartOfMinute(now('UTC')) AS minute, count() AS events,
    max(waited_s) AS longest_s,
    quantilesTDigestState(0.5, 0.95, 0.99)(waited_s) AS seconds,
    quantilesTDigestState(0.5, 0.95, 0.99)(dateDiff('microsecond', received, now64(6, 'UTC')) / 1e6) AS behind_broker
FROM events
WHERE source IN ('kernel', 'http')
GROUP BY project_id, minute
COMMENT 'Fills latency';
