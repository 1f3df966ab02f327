"""The tables that the sink fills: which topic, which fields become which columns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processors import topics, transfer_records
from processors.files import path_text
from processors.instants import iso_of_ms
from processors.rows import KafkaRecord, Table

_LOW = "LowCardinality(String)"
_TIME = "DateTime64(6, \\'UTC\\')"
Fields = Sequence[tuple[str, str, str]]
"""Column, field of the record, and type in the INSERT; a quote within a type is escaped."""

_EVENT: Fields = (
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
)
_DIGESTS = "concat(toFixedString(unhex(previousSha256), 32), toFixedString(unhex(sha256), 32))"
_SRC = [f"toUInt{bits}OrZero(splitByChar('.', src)[{part}])" for part, bits in ((1, 64), (2, 32))]
_DETAIL_TEXTS = ("filenameB64", "renamedToB64", "acl", "extra")
_DETAIL_JSON = ("flags", "streams", "previous", "gap", "fields")
_SESSION: Fields = (
    ("event_id", "eventId", "String"),
    ("project_id", "projectId", _LOW),
    ("agent", "agent", _LOW),
    ("host", "host", _LOW),
    ("key_id", "keyId", _LOW),
    ("received", "receivedAt", _TIME),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_AGENT: Fields = (
    ("agent", "agent", _LOW),
    ("project_id", "projectId", _LOW),
    ("host", "host", _LOW),
    ("epoch", "epoch", _LOW),
    ("last_seq", "lastSeq", "UInt64"),
    ("sent", "sentAt", _TIME),
    ("received", "receivedAt", _TIME),
    ("lag_ms", "lagMs", "Int64"),
    ("backend", "backend", _LOW),
    ("folded", "folded", "Bool"),
    ("depth", "depth", "UInt64"),
    ("journal_bytes", "journalBytes", "UInt64"),
    ("directories", "directories", "UInt64"),
    ("watched", "watched", "UInt64"),
    ("polled", "polled", "UInt64"),
    ("open_gaps", "openGaps", "UInt64"),
    ("version", "version", _LOW),
    ("retired", "gone", "UInt8"),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_FILE: Fields = (
    ("project_id", "projectId", _LOW),
    ("path", "path", "String"),
    ("path_b64", "pathB64", "String"),
    ("is_dir", "isDir", "Bool"),
    ("size", "size", "Nullable(UInt64)"),
    ("filetype", "filetype", _LOW),
    ("hash_status", "hashStatus", _LOW),
    ("mode", "mode", "Nullable(UInt16)"),
    ("owner_uid", "ownerUid", "Nullable(Int64)"),
    ("owner_gid", "ownerGid", "Nullable(Int64)"),
    ("mtime_ns", "mtimeNs", "Nullable(Int64)"),
    ("birth_ns", "birthNs", "Nullable(Int64)"),
    ("acl", "acl", "String"),
    ("flags", "flags", "Array(String)"),
    ("file_id", "fileId", "UInt64"),
    ("host", "host", _LOW),
    ("agent", "agent", _LOW),
    ("event_id", "eventId", "String"),
    ("occurred", "timestampUtc", _TIME),
    ("received", "receivedAt", _TIME),
    ("deleted", "gone", "UInt8"),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_RUN: Fields = (
    ("run_id", "id", "String"),
    ("workflow", "workflow", _LOW),
    ("project_id", "projectId", _LOW),
    ("event_id", "eventId", "String"),
    ("state", "state", _LOW),
    ("attempts", "attempts", "UInt32"),
    ("again", "again", "UInt32"),
    ("error", "error", "String"),
    ("superseded_by", "supersededBy", "String"),
    ("queued", "queuedAt", _TIME),
    ("updated", "updatedAt", _TIME),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_LETTER: Fields = (
    ("source_topic", "topic", _LOW),
    ("source_partition", "partition", "UInt32"),
    ("source_offset", "offset", "UInt64"),
    ("reason", "reason", _LOW),
    ("detail", "detail", "String"),
    ("size", "size", "UInt64"),
    ("truncated", "truncated", "Bool"),
    ("received", "received", _TIME),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_AUDIT: Fields = (
    ("id", "id", "String"),
    ("at", "at", _TIME),
    ("status", "status", "UInt16"),
    ("method", "method", _LOW),
    ("route", "route", _LOW),
    ("remote", "remote", _LOW),
    ("key_id", "keyId", _LOW),
    ("scope", "scope", _LOW),
    ("project_id", "projectId", _LOW),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_TRANSFER: Fields = (
    ("project_id", "project", _LOW),
    ("updated", "updated", _TIME),
    ("created", "created", _TIME),
    ("deleted", "deleted", "Bool"),
    ("url", "url", "String"),
    ("name", "name", "String"),
    ("status", "status", "String"),
    ("phase", "phase", _LOW),
    ("size", "size", "Nullable(Int64)"),
    ("progress", "progress", "Int64"),
    ("attempts", "attempts", "UInt32"),
    ("error", "error", "String"),
    ("md5sum", "md5sum", "String"),
    ("md5", "md5", "String"),
    ("tags", "tags", "String"),
    ("local_dir", "local_dir", "String"),
    ("run_id", "celery_task_id", "String"),
    ("round", "round", "UInt32"),
    ("host", "host", _LOW),
    ("worker", "worker", _LOW),
    ("key_id", "key_id", _LOW),
    ("kafka_offset", "kafkaOffset", "UInt64"),
)
_SESSION_KEY = b"session/"


def _is_session(record: KafkaRecord) -> bool:
    return record.value is not None and (record.key or b"").startswith(_SESSION_KEY)


def _is_heartbeat(record: KafkaRecord) -> bool:
    return not (record.key or _SESSION_KEY).startswith(_SESSION_KEY)


def _is_there(record: KafkaRecord) -> bool:
    return record.value is not None


def _is_path(record: KafkaRecord) -> bool:
    return record.key != topics.CLAIM_KEY


def _retired(record: KafkaRecord) -> bytes | None:
    """Return the row of an agent that was taken out: its record has a key alone."""
    agent, slash, project = (record.key or b"").decode(errors="replace").rpartition("/")
    return msgspec.json.encode({"agent": agent, "projectId": project, "gone": 1}) if slash else None


def _deleted(record: KafkaRecord) -> bytes | None:
    """Return the row of a path that is no more: its record has a key alone."""
    project, nul, path = (record.key or b"").partition(b"\0")
    if not nul:
        return None
    text, path_b64 = path_text(path)
    named = {"projectId": project.decode(errors="replace"), "path": text, "pathB64": path_b64 or ""}
    return msgspec.json.encode(named | {"gone": 1})


def _is_transfer(record: KafkaRecord) -> bool:
    return (record.key or b"").isdigit()


def _forgotten(record: KafkaRecord) -> bytes | None:
    """Return the row of a transfer that was deleted: who did it and when stands in its record's headers."""
    moment = iso_of_ms(record.timestamp)
    named = {"id": int(record.key or b"0"), "deleted": True, "updated": moment, "created": moment}
    return msgspec.json.encode(named | {"key_id": transfer_records.marks_of(record.headers).key_id})


def _details() -> str:
    """The expression of a JSON object of those fields that are there and have no column."""
    pieces = [f"if(empty({name}), '', concat('\"{name}\":', toJSONString({name})))" for name in _DETAIL_TEXTS]
    pieces += [f"if(empty({name}), '', concat('\"{name}\":', {name}))" for name in _DETAIL_JSON]
    pieces.append("if(isNull(birthNs), '', concat('\"birthNs\":', toString(assumeNotNull(birthNs))))")
    given = f"arrayFilter(piece -> notEmpty(piece), [{', '.join(pieces)}])"
    return f"concat('{{', arrayStringConcat({given}, ','), '}}')"


def _structure(fields: Fields, *more: tuple[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in (*((field[1:]) for field in fields), *more))


def _columns(fields: Fields, *more: str) -> tuple[str, ...]:
    return (*(column for column, _, _ in fields), *more)


def _names(fields: Fields, *more: str) -> tuple[str, ...]:
    return (*(name for _, name, _ in fields), *more)


_UNPARSED = [(name, "String") for name in ("sha256", "previousSha256", "src", *_DETAIL_TEXTS, *_DETAIL_JSON)]
EVENTS = Table(
    "events",
    topics.DONUTWORK,
    _columns(_EVENT, "digests", "raw_offset", "raw_index", "details"),
    _names(_EVENT, _DIGESTS, *_SRC, _details()),
    _structure(_EVENT, *_UNPARSED, ("birthNs", "Nullable(Int64)")),
    needs=("eventId", "projectId"),
)
SESSIONS = Table(
    "sessions",
    topics.AGENTS,
    _columns(_SESSION),
    _names(_SESSION),
    _structure(_SESSION),
    needs=("eventId", "projectId"),
    takes=_is_session,
    ordered_by_src=False,
)
AGENTS = Table(
    "agents",
    topics.AGENTS,
    _columns(_AGENT),
    _names(_AGENT),
    _structure(_AGENT),
    needs=("agent", "projectId"),
    takes=_is_heartbeat,
    ordered_by_src=False,
    tombstone=_retired,
)
FILES = Table(
    "files",
    topics.FILES,
    _columns(_FILE, "sha256"),
    _names(_FILE, "unhex(sha256)"),
    _structure(_FILE, ("sha256", "String")),
    needs=("projectId",),
    takes=_is_path,
    ordered_by_src=False,
    tombstone=_deleted,
)
RUNS = Table(
    "runs",
    topics.RUNS,
    _columns(_RUN, "path"),
    _names(_RUN, "JSONExtractString(event, 'filename')"),
    _structure(_RUN, ("event", "String")),
    needs=("id", "projectId"),
    takes=_is_there,
    ordered_by_src=False,
)
DEAD_LETTERS = Table(
    "dead_letters",
    topics.DEAD_LETTERS,
    _columns(_LETTER, "project_id", "value"),
    _names(_LETTER, "tryBase64Decode(key_b64)", "tryBase64Decode(value_b64)"),
    _structure(_LETTER, ("key_b64", "String"), ("value_b64", "String")),
    needs=("topic",),
    takes=_is_there,
    ordered_by_src=False,
)
AUDIT = Table(
    "audit",
    topics.AUDIT,
    _columns(_AUDIT, "filters"),
    _names(_AUDIT, "JSONExtract(filters, 'Map(String, String)')"),
    _structure(_AUDIT, ("filters", "String")),
    needs=("id",),
    takes=_is_there,
    ordered_by_src=False,
)
TRANSFERS = Table(
    "transfers",
    topics.TRANSFERS,
    _columns(_TRANSFER, "transfer_id", "sha256"),
    _names(_TRANSFER, "toUInt64(id)", "toFixedString(unhex(sha256), 32)"),
    _structure(_TRANSFER, ("id", "String"), ("sha256", "String")),
    needs=("id",),
    takes=_is_transfer,
    ordered_by_src=False,
    tombstone=_forgotten,
)
GROUPS = {"": (EVENTS, SESSIONS, FILES, RUNS, DEAD_LETTERS, AUDIT, TRANSFERS), "-agents": (AGENTS,)}
"""Tables by the consumer group that fills them, as a suffix: one table of a topic in each."""
TABLES = tuple(table for group in GROUPS.values() for table in group)
