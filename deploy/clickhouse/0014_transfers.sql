CREATE TABLE IF NOT EXISTS transfers
(
    project_id LowCardinality(String) COMMENT 'Project that is told of its file; empty before a worker has begun',
    transfer_id UInt64 COMMENT 'Id of the transfer, as the file monitor gives it',
    updated DateTime64(6, 'UTC') COMMENT 'When this state was written, whoever wrote it' CODEC(Delta, ZSTD(1)),
    created DateTime64(6, 'UTC') COMMENT 'When the transfer was made, or what a client wrote there',
    deleted Bool COMMENT 'It was deleted: of all other columns only those of the record and who did it are told',
    url String COMMENT 'Where it is fetched from' CODEC(ZSTD(3)),
    name String COMMENT 'Name of the file' CODEC(ZSTD(1)),
    status String COMMENT 'What clients see: Queued, Starting, Downloading, Complete, a text with Error, or their own' CODEC(ZSTD(1)),
    phase LowCardinality(String) COMMENT 'outside (somebody else makes it), queued, running, complete, failed',
    size Nullable(Int64) COMMENT 'Bytes of the whole, where known' CODEC(T64, ZSTD(1)),
    progress Int64 COMMENT 'Bytes so far' CODEC(T64, ZSTD(1)),
    attempts UInt32 COMMENT 'Tries in a row that brought nothing new',
    error String COMMENT 'What the last attempt said, where it failed' CODEC(ZSTD(1)),
    md5sum String COMMENT 'MD5 that a client expects, as hex; else empty' CODEC(ZSTD(1)),
    md5 String COMMENT 'MD5 that was computed, as hex; empty until the file is whole' CODEC(ZSTD(1)),
    sha256 FixedString(32) COMMENT 'SHA-256 that was computed, as bytes; zeros until the file is whole' CODEC(ZSTD(1)),
    tags String COMMENT 'Text of the client' CODEC(ZSTD(1)),
    local_dir String COMMENT 'Directory of the file' CODEC(ZSTD(1)),
    run_id String COMMENT 'Run of the worker: celery_task_id of the file monitor' CODEC(ZSTD(1)),
    round UInt32 COMMENT 'How often it was queued again or cancelled',
    host LowCardinality(String) COMMENT 'Host of the worker',
    worker LowCardinality(String) COMMENT 'Life of the worker',
    key_id LowCardinality(String) COMMENT 'API key of the last client that wrote',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record: one row per record; the highest of a transfer is the newest' CODEC(DoubleDelta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(updated)
ORDER BY (transfer_id, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Every state of every transfer of the file monitor, a row each';
