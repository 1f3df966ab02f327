CREATE TABLE IF NOT EXISTS activity
(
    project_id LowCardinality(String) COMMENT 'Project',
    minute DateTime('UTC') COMMENT 'Minute in which they happened, at their source',
    event LowCardinality(String) COMMENT 'created, modified, deleted, …',
    events UInt64 COMMENT 'How many: sum them up',
    duplicates UInt64 COMMENT 'Of these, how many brought content that was there already',
    bytes UInt64 COMMENT 'Sum of the sizes'
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (project_id, minute, event)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Events per project, minute and event; take sums: rows of one minute stand apart until parts merge';
