CREATE TABLE IF NOT EXISTS events
(
    project_id LowCardinality(String) COMMENT 'Project: one tree, one ordered log',
    occurred DateTime64(6, 'UTC') COMMENT 'When it happened at its source' CODEC(Delta, ZSTD(1)),
    event_id String COMMENT 'The same id in every topic and in the history API' CODEC(ZSTD(1)),
    event LowCardinality(String) COMMENT 'created, written, modified, closed, deleted, renamed, attributes, gap, … or as a client named it',
    path String COMMENT 'Relative to the project, /-separated; of a rename the old name' CODEC(ZSTD(1)),
    renamed_to String COMMENT 'Of a rename: the new name; else empty' CODEC(ZSTD(1)),
    size UInt64 COMMENT 'Bytes; 0 for directories, deletions and gaps',
    filetype LowCardinality(String) COMMENT 'MIME type by name',
    sha256 FixedString(32) COMMENT 'Content, as bytes; zeros where unknown',
    previous_sha256 FixedString(32) COMMENT 'Content before; zeros where unknown',
    hash_status LowCardinality(String) COMMENT 'ok, unstable, too_large, unreadable, vanished, not_regular, off; empty where not told',
    uid Nullable(Int64) COMMENT 'User id of the process that did it, where told',
    pid Nullable(Int64) COMMENT 'Process that did it, where told',
    exe LowCardinality(String) COMMENT 'Executable that did it, where told',
    owner_uid Nullable(Int64) COMMENT 'User id of the file''s owner',
    owner_gid Nullable(Int64) COMMENT 'Group id of the file''s owner',
    mode Nullable(UInt16) COMMENT 'Permission bits',
    mtime_ns Nullable(Int64) COMMENT 'The file''s own time of change, Unix nanoseconds',
    is_dir Bool COMMENT 'A directory',
    moved LowCardinality(String) COMMENT 'Of a rename: within, out, in',
    changed Array(LowCardinality(String)) COMMENT 'What differs from the last known state: data, size, mtime, mode, …',
    file_id UInt64 COMMENT '0 where unknown',
    host LowCardinality(String) COMMENT 'Host that reported it',
    agent LowCardinality(String) COMMENT 'Installation that reported it',
    epoch LowCardinality(String) COMMENT 'Numbering of its agent that seq belongs to',
    seq UInt64 COMMENT 'Consecutive per agent, project and epoch' CODEC(Delta, ZSTD(1)),
    source LowCardinality(String) COMMENT 'kernel, rescan, startup, http',
    duplicate Bool COMMENT 'The content is what the path already held',
    late Bool COMMENT 'It filled an announced hole',
    key_id LowCardinality(String) COMMENT 'API key that reported it over HTTP',
    details String COMMENT 'JSON object of what has no column: filenameB64, renamedToB64, birthNs, acl, flags, previous, gap, fields, extra' CODEC(ZSTD(1)),
    sent DateTime64(6, 'UTC') COMMENT 'When its agent sent it' CODEC(Delta, ZSTD(1)),
    received DateTime64(6, 'UTC') COMMENT 'When the broker took it' CODEC(Delta, ZSTD(1)),
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record: one row per record' CODEC(Delta, ZSTD(1)),
    src String COMMENT 'Raw offset, event index, record index: what it was made from' CODEC(ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1,
    INDEX content sha256 TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX names concat(path, '\0', renamed_to) TYPE text(tokenizer = ngrams(3))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project_id, occurred, event_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'One row per event';
