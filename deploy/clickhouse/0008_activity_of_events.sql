CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_events TO activity
AS WITH toUnixTimestamp64Micro(occurred) AS occurred_us
SELECT project_id,
    fromUnixTimestamp64Micro(occurred_us - positiveModulo(occurred_us, 60000000), 'UTC') AS minute, event,
    toLastDayOfMonth(received) AS received, count() AS events, countIf(duplicate) AS duplicates, sum(size) AS bytes
FROM events
GROUP BY project_id, minute, event, received
COMMENT 'Fills activity';
