"""The rows of ClickHouse, as text: which records go into which table, and the INSERT that parses them.

Pure. The values of the records are never parsed here: each gets its offset and `src` put in front, and
ClickHouse reads the JSON, renames its fields and converts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from processors.plan import SRC_HEADER, Read

SETTINGS = {
    "async_insert": 0,
    "date_time_input_format": "best_effort",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "distributed_foreground_insert": 1,
    "input_format_json_read_arrays_as_strings": 1,
    "input_format_json_read_objects_as_strings": 1,
    "input_format_null_as_default": 1,
    "input_format_skip_unknown_fields": 1,
    "min_insert_block_size_bytes": 268_435_456,
    "min_insert_block_size_rows": 1_048_576,
}
"""What an INSERT relies on. Unknown fields are skipped: within a version records only ever gain some."""


class KafkaRecord(Read, Protocol):
    """A record with its value, key and timestamp."""

    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Row(NamedTuple):
    """A record without what no table needs: a third of the memory of one as it was read."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()


def slim(record: KafkaRecord) -> Row:
    """Return what is held of a record until it is stored: of a tombstone, whose row they are, all headers."""
    if record.value is None:
        return Row(record.offset, None, record.key, record.timestamp, tuple(record.headers))
    for header in record.headers:
        if header[0] == SRC_HEADER:
            return Row(record.offset, record.value, record.key, record.timestamp, (header,))
    return Row(record.offset, record.value, record.key, record.timestamp)


def _anything(_record: KafkaRecord) -> bool:
    return True


def _nothing(_record: KafkaRecord) -> None:
    return None


@dataclass(frozen=True)
class Table:
    """A table that the sink fills from one topic."""

    name: str
    topic: str
    """Without the prefix."""
    columns: tuple[str, ...]
    expressions: tuple[str, ...]
    structure: str
    needs: tuple[str, ...]
    """Fields without which a record is no row."""
    takes: Callable[[KafkaRecord], bool] = _anything
    """Tells whether a record is a row of this table; others share its topic."""
    ordered_by_src: bool = True
    """`src` rises within a partition of the topic, so that what is not above the last is a repeat."""
    tombstone: Callable[[KafkaRecord], bytes | None] = _nothing
    """The row, a JSON object, of a record without a value; None: it is none."""

    def insert(self, topic: str, partition: int) -> str:
        """Return the INSERT whose data are what `body` gives for records of that partition."""
        columns = ", ".join((*self.columns, "kafka_topic", "kafka_partition"))
        expressions = ", ".join((*self.expressions, _literal(topic), str(partition)))
        lacking = " OR ".join(f"empty({name})" for name in self.needs)
        return (
            f"INSERT INTO {self.name} ({columns}) SELECT {expressions} FROM input('{self.structure}') "  # noqa: S608
            f"WHERE NOT throwIf({lacking}, 'a record needs {' and '.join(self.needs)}') "
            "FORMAT JSONEachRow"
        )

    @property
    def present(self) -> str:
        """The query for those offsets between `first` and `last` of a partition that the table has."""
        return (
            f"SELECT kafka_offset FROM {self.name} "  # noqa: S608 - the name is one of ours
            "WHERE kafka_topic = {topic:String} AND kafka_partition = {partition:UInt32} "
            "AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}"
        )

    def unusable(self, record: KafkaRecord) -> str | None:
        """Say why a record's value cannot even be put before ClickHouse, or return None."""
        value = self._value(record)
        if value is None:
            return "no value"
        if value[:1] != b"{" or value[-1:] != b"}" or len(value) < 3:
            return "not a JSON object"
        return None

    def body(self, records: Sequence[KafkaRecord]) -> bytes:
        """Return the data of an INSERT of usable records."""
        return b"\n".join(
            [
                b'{"kafkaOffset":%d,"src":"%b",%b'
                % (record.offset, _src(record), (self._value(record) or b"")[1:])
                for record in records
            ]
        )

    def _value(self, record: KafkaRecord) -> bytes | None:
        return record.value if record.value is not None else self.tombstone(record)


def size_of(record: KafkaRecord) -> int:
    """Return about how many bytes a record adds to a body."""
    return len(record.value or b"") + 64


def _src(record: KafkaRecord) -> bytes:
    for name, value in record.headers:
        if name == SRC_HEADER:
            return value if value.replace(b".", b"").isdigit() else b""
    return b""


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
