CREATE TABLE IF NOT EXISTS files
(
    project_id LowCardinality(String) COMMENT 'Project: one tree',
    path String COMMENT 'Relative to the project, /-separated; empty for its root' CODEC(ZSTD(1)),
    path_b64 String COMMENT 'Its bytes, base64, where they are no UTF-8: path has U+FFFD there; else empty' CODEC(ZSTD(1)),
    is_dir Bool COMMENT 'A directory',
    size Nullable(UInt64) COMMENT 'Bytes',
    filetype LowCardinality(String) COMMENT 'MIME type by name',
    sha256 FixedString(32) COMMENT 'Content that was seen last, as bytes; zeros where unknown',
    hash_status LowCardinality(String) COMMENT 'ok, unstable, too_large, unreadable, vanished, not_regular, off; empty where not told',
    mode Nullable(UInt16) COMMENT 'Permission bits',
    owner_uid Nullable(Int64) COMMENT 'User id of the owner',
    owner_gid Nullable(Int64) COMMENT 'Group id of the owner',
    mtime_ns Nullable(Int64) COMMENT 'The file''s own time of change, Unix nanoseconds',
    birth_ns Nullable(Int64) COMMENT 'When it was made, Unix nanoseconds',
    acl String COMMENT 'Access control list, where it says more than the mode',
    flags Array(String) COMMENT 'immutable, append, nodump, …',
    file_id UInt64 COMMENT 'Stable for the life of the file; 0 where unknown',
    host LowCardinality(String) COMMENT 'Host that told of it last',
    agent LowCardinality(String) COMMENT 'Installation that told of it last',
    event_id String COMMENT 'Event that told of it last' CODEC(ZSTD(1)),
    occurred DateTime64(6, 'UTC') COMMENT 'When that event happened',
    received DateTime64(6, 'UTC') COMMENT 'When the broker took it',
    deleted UInt8 COMMENT 'Nothing is at the path any more: FINAL leaves the row out',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record; the highest of a key is the newest' CODEC(Delta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1,
    INDEX content sha256 TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset, deleted)
ORDER BY (project_id, path, path_b64)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Last known state of every path; read it with FINAL';
