CREATE TABLE IF NOT EXISTS sessions
(
    event_id String COMMENT 'Id of the start: one visible row each',
    project_id LowCardinality(String) COMMENT 'Project that is monitored',
    agent LowCardinality(String) COMMENT 'Installation, or api process, that reported the start',
    host LowCardinality(String) COMMENT 'Host that reported the start',
    key_id LowCardinality(String) COMMENT 'API key that started it',
    received DateTime64(6, 'UTC') COMMENT 'When the broker took it',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record',
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project_id, event_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Donutwork sessions that were started; read it with FINAL, a redelivered start stands twice until parts merge';
