CREATE TABLE IF NOT EXISTS activity
(
    project_id LowCardinality(String) COMMENT 'Project',
    minute DateTime64(0, 'UTC') COMMENT 'Minute in which they happened, at their source, 1900 to 2299',
    event LowCardinality(String) COMMENT 'created, modified, deleted, …',
    received Date COMMENT 'Last day of the month in which the broker took them: kept as long as their rows of events',
    events UInt64 COMMENT 'How many: sum them up',
    duplicates UInt64 COMMENT 'Of these, how many brought content that was there already',
    bytes UInt64 COMMENT 'Sum of the sizes'
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project_id, minute, event)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Events per project, minute and event; take sums: rows of one minute stand apart until parts merge';
