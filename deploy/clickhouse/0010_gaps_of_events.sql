CREATE MATERIALIZED VIEW IF NOT EXISTS gaps_of_events TO gaps
AS SELECT project_id, JSONExtractString(details, 'gap', 'id') AS gap_id,
    max(path) AS path, max(JSONExtractString(details, 'gap', 'reason')) AS reason,
    max(host) AS host, max(agent) AS agent,
    maxOrNullIf(fromUnixTimestamp64Micro(intDiv(JSONExtractInt(details, 'gap', 'since_ns'), 1000), 'UTC'), JSONExtractInt(details, 'gap', 'since_ns') > 0) AS since,
    maxOrNullIf(occurred, event = 'gap') AS opened,
    maxOrNullIf(occurred, event = 'gap_closed') AS closed
FROM events
WHERE event IN ('gap', 'gap_closed') AND gap_id != ''
GROUP BY project_id, gap_id
COMMENT 'Fills gaps';
