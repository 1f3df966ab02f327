"""The Donutwork vocabulary: one record per raw event on `fswire.donutwork`, the form that history keeps."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.event import Actor, Changed, Event, Former, Gap, HashStatus, Moved, Source, Stream
from processors.origin import Origin
from processors.written import content_written


class Record(msgspec.Struct, omit_defaults=True, rename="camel"):
    """A record of `fswire.donutwork`; the sink hands these very bytes to ClickHouse.

    Times are ISO 8601, UTC, microseconds, `2026-11-21T01:20:00.123456Z`.
    """

    event_id: str
    project_id: str
    filename: str
    """Relative to the project; `""` for the project's root."""
    event: str
    filesize: int
    """Bytes; 0 for directories, deletions and gaps."""
    timestamp_utc: str
    """When it happened at its source."""
    sent_at: str
    received_at: str
    """When the broker took the raw batch."""
    host: str
    agent: str
    epoch: str
    seq: int
    source: Source
    filename_b64: str | None = None
    renamed_to: str | None = None
    renamed_to_b64: str | None = None
    moved: Moved | None = None
    is_dir: bool = False
    filetype: str | None = None
    sha256: str | None = None
    """64 lower-case hex digits."""
    previous_sha256: str | None = None
    hash_status: HashStatus | None = None
    uid: int | None = None
    """Of the process that did it."""
    pid: int | None = None
    exe: str | None = None
    owner_uid: int | None = None
    owner_gid: int | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    birth_ns: int | None = None
    acl: str | None = None
    flags: list[str] | None = None
    streams: list[Stream] | None = None
    """`user.*` attributes."""
    file_id: str | None = None
    changed: list[Changed] | None = None
    previous: Former | None = None
    duplicate: bool = False
    late: bool = False
    """It filled an announced hole."""
    gap: Gap | None = None
    key_id: str | None = None
    """Of the api key that reported it over HTTP."""
    fields: dict[str, Any] | None = None
    """What a PUT carried beyond the known fields."""
    extra: str | None = None


_NAMES = {
    "create": "created",
    "delete": "deleted",
    "rename": "renamed",
    "attribute": "attributes",
    "access": "accessed",
    "open": "opened",
    "closeNoWrite": "closed",
    "unknown": "unknown",
    "gap": "gap",
    "gap_closed": "gap_closed",
}
_MOVED = {"in": "created", "out": "deleted"}
_SETTLED = frozenset(("rescan", "startup"))
_WITHOUT_RECORD = frozenset(("baseline", "session"))
_SIZELESS = frozenset(("delete", "gap", "gap_closed"))
_NOBODY = Actor()
"""Of an event whose process is not known."""

_encode = msgspec.json.Encoder().encode


def name(event: Event) -> str | None:
    """Return what Donutwork calls an event; None for kinds that it has no record of."""
    kind = event.kind
    if event.http is not None and kind not in _WITHOUT_RECORD:
        return event.http.event
    if kind == "closeWrite":
        return "modified" if content_written(event) else "closed"
    if kind == "modify":
        return "modified" if event.written or event.source in _SETTLED else "written"
    if event.moved is not None and kind == "rename":
        return _MOVED.get(event.moved, "renamed")
    return _NAMES.get(kind)


def filesize(event: Event) -> int:
    """Return the size that history shows: 0 for directories, deletions and gaps, whoever told of them."""
    if event.size is None or event.is_dir or event.moved == "out" or event.kind in _SIZELESS:
        return 0
    return event.size


def record(
    origin: Origin, event: Event, event_id: str, seq: int, *, late: bool = False, duplicate: bool = False
) -> bytes | None:
    """Return the encoded record of one event, or None where the vocabulary has none."""
    event_name = name(event)
    if event_name is None:
        return None
    actor = event.actor or _NOBODY
    made = Record(
        event_id,
        origin.project,
        event.path,
        event_name,
        filesize(event),
        origin.moment(event.time_ns),
        origin.sent_at,
        origin.received_at,
        origin.host,
        origin.agent,
        origin.epoch,
        seq,
        event.source,
        event.path_b64,
        event.renamed_to,
        event.renamed_to_b64,
        event.moved,
        event.is_dir,
        event.filetype,
        event.sha256,
        event.previous_sha256,
        event.hash_status,
        actor.uid,
        actor.pid,
        actor.exe,
        event.uid,
        event.gid,
        event.mode,
        event.mtime_ns,
        event.birth_ns,
        event.acl,
        event.flags,
        event.streams,
        event.file_id,
        event.changed,
        event.previous,
        duplicate,
        late,
        event.gap,
    )
    if event.http is not None:
        made.key_id, made.fields = event.http.key_id or None, event.http.fields
    if event.extra is not None:
        made.extra = event.extra
    return _encode(made)
