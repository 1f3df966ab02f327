CREATE TABLE IF NOT EXISTS agents
(
    agent String COMMENT 'Installation',
    project_id LowCardinality(String) COMMENT 'One of its projects',
    host LowCardinality(String) COMMENT 'Host that it runs on',
    epoch String COMMENT 'Numbering that last_seq belongs to',
    last_seq UInt64 COMMENT 'Number of the last event that it had sent',
    sent DateTime64(6, 'UTC') COMMENT 'When it sent its last heartbeat, by its own clock',
    received DateTime64(6, 'UTC') COMMENT 'When the broker took it: last sign of life',
    lag_ms Int64 COMMENT 'From sending to the broker, by the clocks of both',
    backend LowCardinality(String) COMMENT 'inotify, fanotify, watchfiles, poll; empty where not told',
    folded Bool COMMENT 'Several changes of a path may be told as one',
    depth UInt64 COMMENT 'Events in its journal that the broker had not acknowledged',
    journal_bytes UInt64 COMMENT 'Size of its journal',
    directories UInt64 COMMENT 'Directories of the tree',
    watched UInt64 COMMENT 'Those whose changes the kernel tells',
    polled UInt64 COMMENT 'Those that are listed from time to time',
    open_gaps UInt64 COMMENT 'Gaps that no rescan had closed',
    version LowCardinality(String) COMMENT 'Of fswire, as it is installed there; empty where not told',
    retired UInt8 COMMENT 'Taken out by fswire agent retire: FINAL leaves the row out',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record; the highest of a key is the newest' CODEC(Delta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset, retired)
ORDER BY (project_id, agent)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Last heartbeat of every agent, a row for each of its projects; read it with FINAL';
