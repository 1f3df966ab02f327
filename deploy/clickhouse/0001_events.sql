CREATE TABLE IF NOT EXISTS events
(
    project_id LowCardinality(String) COMMENT 'Project: one tree, one ordered log',
    occurred DateTime64(6, 'UTC') COMMENT 'When it happened at its source',
    event_id String COMMENT 'The same id in every topic and in the history API',
    event LowCardinality(String) COMMENT 'created, written, modified, closed, deleted, renamed, attributes, gap, … or as a client named it',
    path String COMMENT 'Relative to the project, /-separated; of a rename the old name',
    renamed_to String COMMENT 'Of a rename: the new name; else empty',
    size UInt64 COMMENT 'Bytes; 0 for directories, deletions and gaps',
    filetype LowCardinality(String) COMMENT 'MIME type by name',
    sha256 FixedString(32) COMMENT 'Content, as bytes; zeros where unknown',
    previous_sha256 FixedString(32) COMMENT 'Content before; zeros where unknown',
    hash_status LowCardinality(String),
    uid Nullable(Int64) COMMENT 'User id of the process that did it, where told',
    pid Nullable(Int64) COMMENT 'Process that did it, where told',
    exe LowCardinality(String) COMMENT 'Executable that did it, where told',
    owner_uid Nullable(Int64),
    owner_gid Nullable(Int64),
    mode Nullable(UInt16) COMMENT 'Permission bits',
    mtime_ns Nullable(Int64),
    is_dir Bool,
    moved LowCardinality(String) COMMENT 'Of a rename: within, out, in',
    changed Array(LowCardinality(String)),
    file_id UInt64 COMMENT '0 where unknown',
    host LowCardinality(String),
    agent LowCardinality(String),
    epoch LowCardinality(String),
    seq UInt64 COMMENT 'Consecutive per agent, project and epoch',
    source LowCardinality(String) COMMENT 'kernel, rescan, startup, http',
    duplicate Bool COMMENT 'The content is what the path already held',
    late Bool COMMENT 'It filled an announced hole',
    key_id LowCardinality(String) COMMENT 'API key that reported it over HTTP',
    details String COMMENT 'JSON of what has no column of its own: previous, acl, flags, gap, fields, extra, bytes of names',
    sent DateTime64(6, 'UTC') COMMENT 'When its agent sent it',
    received DateTime64(6, 'UTC') COMMENT 'When the broker took it',
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset UInt64,
    src String COMMENT 'Raw offset, event index, record index'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project_id, occurred, event_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'One row per event';
