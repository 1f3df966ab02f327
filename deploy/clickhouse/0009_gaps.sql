CREATE TABLE IF NOT EXISTS gaps
(
    project_id LowCardinality(String) COMMENT 'Project whose events may be missing',
    gap_id String COMMENT 'Id of the gap, in the event that opened it and in the one that closed it',
    path SimpleAggregateFunction(max, String) COMMENT 'Directory below which they may be missing; empty for the whole project',
    reason SimpleAggregateFunction(max, String) COMMENT 'overflow, journal_full, agent_down, watch_limit, sequence, identity, unreadable, expired',
    host SimpleAggregateFunction(max, String) COMMENT 'Host where it arose',
    agent SimpleAggregateFunction(max, String) COMMENT 'Installation that announced it',
    since SimpleAggregateFunction(max, Nullable(DateTime64(6, 'UTC'))) COMMENT 'Last moment at which nothing was missing, where known',
    opened SimpleAggregateFunction(max, Nullable(DateTime64(6, 'UTC'))) COMMENT 'When it was announced',
    closed SimpleAggregateFunction(max, Nullable(DateTime64(6, 'UTC'))) COMMENT 'When the rescan that mends it was done; null while it is open'
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, gap_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Losses that were announced, a row each; read it with FINAL';
