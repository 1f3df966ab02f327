"""An event as pages show it: from an item of the history, or from a record that has just been written."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.event import Former, Gap, Stream


class Workflow(msgspec.Struct):
    """A run that the event triggered."""

    name: str
    state: str


class EventRow(msgspec.Struct, rename="camel"):
    """What history items and records of `fswire.donutwork` have in common; what is unknown is empty."""

    event_id: str
    project_id: str
    filename: str
    event: str
    filesize: int
    timestamp_utc: str
    host: str
    source: str
    filename_b64: str = ""
    renamed_to: str = ""
    renamed_to_b64: str = ""
    moved: str = ""
    is_dir: bool = False
    sha256: str = ""
    previous_sha256: str = ""
    hash_status: str = ""
    uid: int | None = None
    pid: int | None = None
    exe: str = ""
    owner_uid: int | None = None
    owner_gid: int | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    birth_ns: int | None = None
    acl: str = ""
    flags: list[str] = []
    streams: list[Stream] = []
    changed: list[str] = []
    previous: Former | None = None
    duplicate: bool = False
    late: bool = False
    gap: Gap | None = None
    key_id: str = ""
    workflows: list[Workflow] = []


_decoder = msgspec.json.Decoder(EventRow)


def of_item(item: dict[str, Any]) -> EventRow:
    """Return the row of an item as `History` gives it."""
    return msgspec.convert(item, EventRow)


def of_record(value: bytes) -> EventRow:
    """Return the row of a record of `fswire.donutwork`. Raises msgspec.MsgspecError where it is none."""
    return _decoder.decode(value)
