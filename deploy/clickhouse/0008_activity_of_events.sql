CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_events TO activity
AS SELECT project_id, toStartOfMinute(occurred) AS minute, event,
    count() AS events, countIf(duplicate) AS duplicates, sum(size) AS bytes
FROM events
GROUP BY project_id, minute, event
COMMENT 'Fills activity';
