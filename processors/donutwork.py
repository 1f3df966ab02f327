"""The Donutwork vocabulary: one record per raw event on `fswire.donutwork`, the form that history keeps."""

from __future__ import annotations

import msgspec

from agent.event import Changed, Former, Gap, HashStatus, Moved, Source


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
    file_id: str | None = None
    changed: list[Changed] | None = None
    previous: Former | None = None
    duplicate: bool = False
    late: bool = False
    """It filled an announced hole."""
    gap: Gap | None = None
    key_id: str | None = None
    """Of the api key that reported it over HTTP."""
    fields: dict[str, object] | None = None
    """What a PUT carried beyond the known fields."""
    extra: str | None = None
