CREATE TABLE IF NOT EXISTS run_states
(
    project_id LowCardinality(String) COMMENT 'Project of the event',
    run_id String COMMENT 'Run, as in runs',
    workflow LowCardinality(String) COMMENT 'Name of the workflow',
    state LowCardinality(String) COMMENT 'queued, running, succeeded, failed',
    attempts UInt32 COMMENT 'Begun so far, in this try',
    again UInt32 COMMENT 'How often somebody had asked for another try',
    error String COMMENT 'What the last attempt said, where it failed' CODEC(ZSTD(1)),
    superseded_by String COMMENT 'Run that was carried out in its place; else empty',
    updated DateTime64(6, 'UTC') COMMENT 'When this state was reached',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record: states of a run in their order' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(updated)
ORDER BY (project_id, run_id, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Every state that every workflow run went through; read it with FINAL';
