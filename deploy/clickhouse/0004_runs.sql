CREATE TABLE IF NOT EXISTS runs
(
    run_id String COMMENT 'Follows from workflow and event: the same however often the event is delivered',
    workflow LowCardinality(String) COMMENT 'Name of the workflow',
    project_id LowCardinality(String) COMMENT 'Project of the event',
    event_id String COMMENT 'Event that triggered it' CODEC(ZSTD(1)),
    path String COMMENT 'Path of that event' CODEC(ZSTD(1)),
    state LowCardinality(String) COMMENT 'queued, running, succeeded, failed',
    attempts UInt32 COMMENT 'Begun so far',
    again UInt32 COMMENT 'How often somebody asked for another try',
    error String COMMENT 'What the last attempt said, where it failed' CODEC(ZSTD(1)),
    superseded_by String COMMENT 'Run that was carried out in its place; else empty',
    queued DateTime64(6, 'UTC') COMMENT 'When the broker took the event',
    updated DateTime64(6, 'UTC') COMMENT 'When this state was reached',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record; the highest of a key is the newest' CODEC(Delta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1,
    INDEX events event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset)
ORDER BY (project_id, run_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Newest state of every workflow run; read it with FINAL';
