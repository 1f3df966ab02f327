CREATE TABLE IF NOT EXISTS latency
(
    project_id LowCardinality(String) COMMENT 'Project',
    minute DateTime('UTC') COMMENT 'Minute in which the rows were written',
    events SimpleAggregateFunction(sum, UInt64) COMMENT 'How many',
    longest_s SimpleAggregateFunction(max, Float64) COMMENT 'Longest time from event to row, seconds',
    seconds AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Times from event to row: quantilesTDigestMerge(0.5, 0.95, 0.99)(seconds)',
    behind_broker AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Times from the broker to the row, the same way'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (project_id, minute)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Time from event to row, of events that the kernel told; of those that a client told, from when the api took them';
