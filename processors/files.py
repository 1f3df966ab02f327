"""The last known state of a path, as `fswire.files` has it, and when content is no news; pure.

An entry is what normalize keeps of a path: where it was made, its content's sha256, and the topic's value.
"""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from agent.event import Event, HashStatus, Stream
from processors import donutwork
from processors.origin import Origin
from processors.record_batch import Record, field, length


class File(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Value of a record of `fswire.files`: what the last event that told of a path left behind."""

    project_id: str
    path: str
    """Relative to the project; `""` for its root."""
    event_id: str
    """Of the last event that told of it."""
    timestamp_utc: str
    received_at: str
    host: str
    agent: str
    path_b64: str | None = None
    is_dir: bool = False
    size: int | None = None
    filetype: str | None = None
    sha256: str | None = None
    """Of the content that was seen last; later content that nobody hashed does not change it."""
    hash_status: HashStatus | None = None
    mode: int | None = None
    owner_uid: int | None = None
    owner_gid: int | None = None
    mtime_ns: int | None = None
    birth_ns: int | None = None
    acl: str | None = None
    flags: list[str] | None = None
    streams: list[Stream] | None = None
    file_id: str | None = None


class At(NamedTuple):
    """Raw offset and index of the event in its batch."""

    offset: int
    event: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(File).decode
_HEAD = struct.Struct(">QQ32s")
_UNKNOWN = bytes(32)
_LAST = 2**31 - 1
"""No batch has so many events."""
_SRC, _AT, _BEFORE = field(b"src"), field(b"at"), field(b"before")
_SRC_ALONE = length(1) + _SRC
_TELLING = frozenset(("create", "modify", "closeWrite", "attribute", "rename", "baseline"))
_CONTENT = frozenset(("created", "modified"))


def key(project: str, path: str, path_b64: str | None = None) -> bytes:
    """Return the key of a path: project, NUL, the path's own bytes."""
    below = path.encode() if path_b64 is None else base64.b64decode(path_b64)
    return project.encode() + b"\0" + below


def keys(project: str, events: Iterable[Event]) -> list[bytes]:
    """Return the key of each event's path; where it has none, because it cannot be decoded, the project's."""
    head = project.encode() + b"\0"
    return [
        head + event.path.encode() if event.path_b64 is None else head + _decoded(event.path_b64)
        for event in events
    ]


def names(event: Event) -> list[bytes]:
    """Return the bytes of an event's path, and of the one that it was renamed to."""
    told = ((event.path, event.path_b64), (event.renamed_to, event.renamed_to_b64))
    return [
        path.encode() if path_b64 is None else _decoded(path_b64)
        for path, path_b64 in told
        if path is not None
    ]


def _decoded(path_b64: str) -> bytes:
    with contextlib.suppress(ValueError):
        return base64.b64decode(path_b64)
    return b""


def below(directory: bytes) -> bytes:
    """Return what the keys of everything in a directory begin with."""
    return directory if directory.endswith(b"\0") else directory + b"/"


def tells(event: Event) -> bool:
    """Tell whether an event says what is at a path now."""
    return event.kind in _TELLING and event.moved != "out"


def ends(event: Event) -> bool:
    """Tell whether an event says that nothing is at its path any more."""
    return event.kind == "delete" or (event.kind == "rename" and event.moved == "out")


def is_duplicate(event: Event, entry: bytes | None) -> bool:
    """Tell whether a created or modified brings the content that its path is known to hold."""
    return (
        event.sha256 is not None
        and entry is not None
        and entry[16:48] == bytes.fromhex(event.sha256)
        and event.moved is None
        and donutwork.name(event) in _CONTENT
    )


def seen(origin: Origin, event: Event, event_id: str, at: At, before: bytes | None) -> bytes:
    """Return the entry of a path after an event that tells of it; `before`: the entry that it had."""
    renamed = event.renamed_to is not None
    file = File(
        origin.project,
        event.renamed_to if event.renamed_to is not None else event.path,
        event_id,
        origin.moment(event.time_ns),
        origin.received_at,
        origin.host,
        origin.agent,
        event.renamed_to_b64 if renamed else event.path_b64,
        event.is_dir,
        event.size,
        event.filetype,
        event.sha256,
        event.hash_status,
        event.mode,
        event.uid,
        event.gid,
        event.mtime_ns,
        event.birth_ns,
        event.acl,
        event.flags,
        event.streams,
        event.file_id,
    )
    if before is not None and event.mtime_ns is None:
        _complete(file, _decode(before[_HEAD.size :]))
    sha256 = bytes.fromhex(event.sha256) if event.sha256 else _UNKNOWN
    if before is not None and not event.sha256 and before[16:48] != _UNKNOWN:
        sha256 = before[16:48]
        file.sha256 = sha256.hex()
    return _HEAD.pack(*at, sha256) + _encode(file)


def moved(entry: bytes, source: bytes, target: bytes, at: At) -> bytes:
    """Return the entry of a path whose directory was renamed at `at`; both ends are what `below` gives."""
    file = _decode(entry[_HEAD.size :])
    old = key(file.project_id, file.path, file.path_b64)
    path = target.partition(b"\0")[2] + old[len(source) :]
    file.path, file.path_b64 = path_text(path)
    return _HEAD.pack(at.offset, at.event, entry[16:48]) + _encode(file)


def record(
    key: bytes, entry: bytes | None, before: bytes | None, at: At, timestamp_ms: int, src: At | None = None
) -> Record:
    """Return the topic's record of a change that an event at `at` made.

    Header `src` tells a subscriber up to where the topic is complete: `at`, or an earlier place while files
    of a renamed directory are still to be re-keyed, and then header `at` has the place itself. Header
    `before` has the value that was there, for a recovery which finds the chunk uncommitted.
    """
    if src is None and before is None and entry is not None:
        return timestamp_ms, field(key), entry[_HEAD.size :], _SRC_ALONE + field(b"%d.%d.0" % at)
    headers = [_SRC + field(b"%d.%d.0" % (src or at))]
    if src is not None:
        headers.append(_AT + field(b"%d.%d.0" % at))
    if before is not None:
        headers.append(_BEFORE + field(before[_HEAD.size :]))
    value = None if entry is None else entry[_HEAD.size :]
    return timestamp_ms, field(key), value, length(len(headers)) + b"".join(headers)


def just_before(at: At) -> At:
    """Return a place below one, and above all that lie below it."""
    return At(at.offset, at.event - 1) if at.event else At(at.offset - 1, _LAST)


def end_of(offset: int) -> At:
    """Return a place above all events of a raw record, and below the next."""
    return At(offset, _LAST)


def made_at(entry: bytes) -> At:
    """Return where an entry was made."""
    return At(*_HEAD.unpack_from(entry)[:2])


def entry_of(made: bytes, at: At) -> bytes:
    """Return the entry of a value that was read from the topic. Raises ValueError where it is none."""
    sha256 = _decode(made).sha256
    return _HEAD.pack(at.offset, at.event, bytes.fromhex(sha256) if sha256 else _UNKNOWN) + made


def happened(entry: bytes) -> str:
    """Return when the last event that told of it happened, in the form of `instants.iso`."""
    return _decode(entry[_HEAD.size :]).timestamp_utc


def _complete(file: File, known: File) -> None:
    """Fill in what an event does not say of its file: whoever reported it saw less than an agent."""
    for name in File.__struct_fields__:
        if name != "path_b64" and getattr(file, name) is None:
            setattr(file, name, getattr(known, name))
    file.is_dir = file.is_dir or known.is_dir


def path_text(path: bytes) -> tuple[str, str | None]:
    """Return a path as text, and its bytes in base64 where they are no UTF-8."""
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return path.decode(errors="replace"), base64.b64encode(path).decode()
