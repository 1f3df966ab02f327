CREATE TABLE IF NOT EXISTS dead_letters
(
    project_id LowCardinality(String) COMMENT 'Key of the record that was parked: its project, where it has one',
    source_topic LowCardinality(String) COMMENT 'Topic that it was read from',
    source_partition UInt32 COMMENT 'Partition there',
    source_offset UInt64 COMMENT 'Offset there',
    reason LowCardinality(String) COMMENT 'One word, such as not_json or unknown_project; replayed: no letter, but the mark that the one at source_partition:source_offset was tried again',
    detail String COMMENT 'What was expected and what came' CODEC(ZSTD(1)),
    size UInt64 COMMENT 'Length of the whole value',
    truncated Bool COMMENT 'Bytes are missing: it cannot be replayed',
    value String COMMENT 'Its bytes, cut at 64 KiB' CODEC(ZSTD(3)),
    received DateTime64(6, 'UTC') COMMENT 'When the broker took the record that was parked',
    kafka_topic LowCardinality(String) COMMENT 'Topic of its record',
    kafka_partition UInt32 COMMENT 'Partition of its record',
    kafka_offset UInt64 COMMENT 'Offset of its record; the highest of a key is the newest' CODEC(Delta, ZSTD(1)),
    INDEX kafka (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toYYYYMM(received)
ORDER BY (kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'What could not be taken, and why; PLACE of fswire dead-letters is kafka_partition:kafka_offset';
