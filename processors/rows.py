"""The rows of ClickHouse, as text: which records go into which table, and the INSERT that parses them.

Pure. The values of the records are never parsed here: each gets its offset and `src` put in front, and
ClickHouse reads the JSON, renames its fields and converts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from processors import topics
from processors.plan import SRC_HEADER, Read

_LOW = "LowCardinality(String)"
_TIME = "DateTime64(6, \\'UTC\\')"

_RENAMED = (
    ("project_id", "projectId", _LOW),
    ("occurred", "timestampUtc", _TIME),
    ("event_id", "eventId", "String"),
    ("event", "event", _LOW),
    ("path", "filename", "String"),
    ("renamed_to", "renamedTo", "String"),
    ("size", "filesize", "UInt64"),
    ("filetype", "filetype", _LOW),
    ("hash_status", "hashStatus", _LOW),
    ("uid", "uid", "Nullable(Int64)"),
    ("pid", "pid", "Nullable(Int64)"),
    ("exe", "exe", _LOW),
    ("owner_uid", "ownerUid", "Nullable(Int64)"),
    ("owner_gid", "ownerGid", "Nullable(Int64)"),
    ("mode", "mode", "Nullable(UInt16)"),
    ("mtime_ns", "mtimeNs", "Nullable(Int64)"),
    ("is_dir", "isDir", "Bool"),
    ("moved", "moved", _LOW),
    ("changed", "changed", f"Array({_LOW})"),
    ("file_id", "fileId", "UInt64"),
    ("host", "host", _LOW),
    ("agent", "agent", _LOW),
    ("epoch", "epoch", _LOW),
    ("seq", "seq", "UInt64"),
    ("source", "source", _LOW),
    ("duplicate", "duplicate", "Bool"),
    ("late", "late", "Bool"),
    ("key_id", "keyId", _LOW),
    ("sent", "sentAt", _TIME),
    ("received", "receivedAt", _TIME),
    ("kafka_offset", "kafkaOffset", "UInt64"),
    ("src", "src", "String"),
)
_DIGESTS = (("sha256", "sha256"), ("previous_sha256", "previousSha256"))
_DETAIL_TEXTS = ("filenameB64", "renamedToB64", "acl", "extra")
_DETAIL_JSON = ("flags", "previous", "gap", "fields")
_SESSION = (
    ("event_id", "eventId", "String"),
    ("project_id", "projectId", _LOW),
    ("agent", "agent", _LOW),
    ("host", "host", _LOW),
    ("key_id", "keyId", _LOW),
    ("received", "receivedAt", _TIME),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_SESSION_KEY = b"session/"

SETTINGS = {
    "async_insert": 0,
    "date_time_input_format": "best_effort",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
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


@dataclass(frozen=True)
class Table:
    """A table that the sink fills from one topic."""

    name: str
    topic: str
    """Without the prefix."""
    columns: tuple[str, ...]
    expressions: tuple[str, ...]
    structure: str
    keys: bytes = b""
    """What the key of a record for this table starts with."""
    ordered_by_src: bool = True
    """`src` rises within a partition of the topic, so that what is not above the last is a repeat."""

    def takes(self, record: KafkaRecord) -> bool:
        """Tell whether a record is a row of this table; others share its topic."""
        return not self.keys or (record.value is not None and (record.key or b"").startswith(self.keys))

    def insert(self, topic: str, partition: int) -> str:
        """Return the INSERT whose data are what `body` gives for records of that partition."""
        columns = ", ".join((*self.columns, "kafka_topic", "kafka_partition"))
        expressions = ", ".join((*self.expressions, _literal(topic), str(partition)))
        return (
            f"INSERT INTO {self.name} ({columns}) SELECT {expressions} FROM input('{self.structure}') "  # noqa: S608
            "WHERE NOT throwIf(empty(eventId) OR empty(projectId), 'a record needs eventId and projectId') "
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


def unusable(record: KafkaRecord) -> str | None:
    """Say why a record's value cannot even be put before ClickHouse, or return None."""
    value = record.value
    if value is None:
        return "no value"
    if value[:1] != b"{" or value[-1:] != b"}" or len(value) < 3:
        return "not a JSON object"
    return None


def body(records: Sequence[KafkaRecord]) -> bytes:
    """Return the data of an INSERT of usable records."""
    return b"\n".join(
        [
            b'{"kafkaOffset":%d,"src":"%b",%b' % (record.offset, _src(record), (record.value or b"")[1:])
            for record in records
        ]
    )


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


def _details() -> str:
    """The expression of a JSON object of those fields that are there and have no column."""
    pieces = [f"if(empty({name}), '', concat('\"{name}\":', toJSONString({name})))" for name in _DETAIL_TEXTS]
    pieces += [f"if(empty({name}), '', concat('\"{name}\":', {name}))" for name in _DETAIL_JSON]
    pieces.append("if(isNull(birthNs), '', concat('\"birthNs\":', toString(assumeNotNull(birthNs))))")
    given = f"arrayFilter(piece -> notEmpty(piece), [{', '.join(pieces)}])"
    return f"concat('{{', arrayStringConcat({given}, ','), '}}')"


def _structure(fields: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in fields)


def _events() -> Table:
    fields = [(name, kind) for _, name, kind in _RENAMED]
    fields += [(name, "String") for _, name in _DIGESTS]
    fields += [(name, "String") for name in (*_DETAIL_TEXTS, *_DETAIL_JSON)]
    fields.append(("birthNs", "Nullable(Int64)"))
    columns = [column for column, _, _ in _RENAMED] + [column for column, _ in _DIGESTS]
    expressions = [name for _, name, _ in _RENAMED] + [f"unhex({name})" for _, name in _DIGESTS]
    return Table(
        "events",
        topics.DONUTWORK,
        (*columns, "details"),
        (*expressions, _details()),
        _structure(fields),
    )


EVENTS = _events()
SESSIONS = Table(
    "sessions",
    topics.AGENTS,
    tuple(column for column, _, _ in _SESSION),
    tuple(name for _, name, _ in _SESSION),
    _structure([(name, kind) for _, name, kind in _SESSION]),
    keys=_SESSION_KEY,
    ordered_by_src=False,
)
TABLES = (EVENTS, SESSIONS)
