CREATE TABLE IF NOT EXISTS audit
(
    id String COMMENT 'One for each request; the same where its record was written twice' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it was answered, by the clock of the api' CODEC(DoubleDelta, ZSTD(1)),
    status UInt16 COMMENT 'HTTP status of the answer: 401, 403, 429 are refusals; 101 is a WebSocket',
    method LowCardinality(String) COMMENT 'HTTP method',
    route LowCardinality(String) COMMENT 'Route as the api describes it, or the path of a page',
    remote LowCardinality(String) COMMENT 'Address of the client, or what a trusted proxy says that it is',
    key_id LowCardinality(String) COMMENT 'Key that was used; empty where there was none that is known',
    scope LowCardinality(String) COMMENT 'Scope that the request needed',
    project_id LowCardinality(String) COMMENT 'Project that it was about; empty where it was about none or many',
    filters Map(LowCardinality(String), String) COMMENT 'What narrowed the answer: query parameters, or the SQL' CODEC(ZSTD(1)),
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record' CODEC(Delta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1,
    INDEX keys key_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (project_id, at, id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Who read over the api and who was refused, one row per request; read it with FINAL';
