"""The raw event: what one agent saw happen to one path, and the batch in which it travels.

Everything else in fswire is derived from these two shapes. They are JSON on `fswire.raw`; a field that is
unknown is left out. Changes within `VERSION` only ever add fields.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec

VERSION = 1
MAX_BATCH_BYTES = 900 * 1024
"""Largest encoded batch before compression: a record is at most 1 MiB, headers and key included."""

Kind = Literal[
    "create",
    "modify",
    "closeWrite",
    "delete",
    "rename",
    "attribute",
    "access",
    "open",
    "closeNoWrite",
    "unknown",
    "gap",
    "gap_closed",
    "baseline",
    "session",
]
Source = Literal["kernel", "rescan", "startup", "http"]
Moved = Literal["within", "out", "in"]
HashStatus = Literal["ok", "unstable", "too_large", "unreadable", "vanished", "not_regular", "off"]
Changed = Literal["data", "size", "mtime", "atime", "btime", "mode", "uid", "gid", "acl", "flags", "streams"]
GapReason = Literal[
    "overflow", "journal_full", "agent_down", "watch_limit", "sequence", "identity", "unreadable", "expired"
]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A size, an id or a sequence number: what a 64-bit column holds. Checked when a batch is read."""
Nanoseconds = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Since the Unix epoch; the file's own times."""
Mode = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]


class Stream(msgspec.Struct, omit_defaults=True, frozen=True):
    r"""A `user.*` extended attribute; `name`: without the prefix, with `\xff` for a byte that is no UTF-8."""

    name: str
    size: Count
    sha256: str | None = None


class Former(msgspec.Struct, omit_defaults=True):
    """Values that a file had before a change; only those that differ are set, `""` and `[]`: it had none."""

    size: Count | None = None
    mtime_ns: Nanoseconds | None = None
    atime_ns: Nanoseconds | None = None
    birth_ns: Nanoseconds | None = None
    mode: Mode | None = None
    uid: Count | None = None
    gid: Count | None = None
    acl: str | None = None
    flags: list[str] | None = None
    streams: list[Stream] | None = None


class Actor(msgspec.Struct, omit_defaults=True, frozen=True):
    """Who did it, as the kernel or the reporting client told: process id, user id, executable."""

    pid: Count | None = None
    uid: Count | None = None
    exe: str | None = None


class Gap(msgspec.Struct, omit_defaults=True, frozen=True):
    """What may be missing: events below the event's `path` between two moments (Unix nanoseconds)."""

    id: str
    reason: GapReason
    recursive: bool = True
    since_ns: Nanoseconds | None = None
    until_ns: Nanoseconds | None = None


class Reply(msgspec.Struct, frozen=True):
    """Where the decision on an HTTP event is awaited: correlation id and partition of `fswire.outcomes`."""

    id: str
    partition: int


class Http(msgspec.Struct, omit_defaults=True):
    """What a PUT carried beyond the fields of an event."""

    event_id: str
    """Given by the client, or minted by the api."""
    content: str
    """Digest of the content that a repeat of `event_id` must have; another digest is a conflict."""
    event: str
    """The event's name as Donutwork shows it, canonical where it was an alias."""
    key_id: str = ""
    reply: Reply | None = None
    fields: dict[str, Any] | None = None
    """Fields of the request that fswire does not know, as they came; never a token."""


class Event(msgspec.Struct, omit_defaults=True):
    """One thing that happened to one path. See DESIGN: kinds, and what each becomes in a vocabulary."""

    kind: Kind
    path: str
    """Relative to the project, `/`-separated, `""` for the project's root; U+FFFD where it is no UTF-8."""
    time_ns: int
    """When it happened, Unix nanoseconds."""
    source: Source = "kernel"
    path_b64: str | None = None
    """The path's bytes, base64, only where they are no UTF-8."""
    renamed_to: str | None = None
    renamed_to_b64: str | None = None
    moved: Moved | None = None
    """Of a rename: both ends in view (`within`), only the old name (`out`), only the new one (`in`)."""
    is_dir: bool = False
    size: Count | None = None
    filetype: str | None = None
    """MIME type, by name."""
    mtime_ns: Nanoseconds | None = None
    atime_ns: Nanoseconds | None = None
    birth_ns: Nanoseconds | None = None
    mode: Mode | None = None
    """Permission bits, as `stat.S_IMODE`."""
    uid: Count | None = None
    gid: Count | None = None
    acl: str | None = None
    """POSIX ACL as getfacl(1) has it, numeric: `user:1000:r--,…`; of a directory also `default:…`."""
    flags: list[str] | None = None
    """Of `immutable append nodump compressed encrypted verity dax hidden` those that are set."""
    streams: list[Stream] | None = None
    """By name. Like `acl` and `flags` left out where there is none."""
    file_id: str | None = None
    """Decimal 64-bit id, stable for the life of the file."""
    spine: list[str] | None = None
    """Ids from the virtual root `2` down to this file."""
    former_spine: list[str] | None = None
    """Of a rename from one directory to another: the same of its old place."""
    sha256: str | None = None
    previous_sha256: str | None = None
    hash_status: HashStatus | None = None
    changed: list[Changed] | None = None
    previous: Former | None = None
    written: bool = False
    """Of a closeWrite: data was written since the last report. Of a modify: the writing has settled."""
    actor: Actor | None = None
    gap: Gap | None = None
    """Of gap and gap_closed."""
    http: Http | None = None
    extra: str | None = None
    """Platform's own; `override` on the delete of a rename's target."""


class Previous(msgspec.Struct, frozen=True):
    """In an epoch's first batch: the epoch before, and its last sequence number."""

    epoch: str
    last_seq: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]


class Status(msgspec.Struct, omit_defaults=True, frozen=True):
    """How an agent is doing with one project, in its heartbeats."""

    backend: str = ""
    """How it watches: `inotify`, `fanotify`, `watchfiles`, `poll`."""
    folded: bool = False
    """Several changes of one path may be told as one: the backend does not see each."""
    depth: Count = 0
    """Events in the journal that the broker has not acknowledged."""
    journal_bytes: Count = 0
    """Size of the journal on disk."""
    directories: Count = 0
    """Directories of the tree, the root included."""
    watched: Count = 0
    """Those of them whose changes are told by the kernel, or by watchfiles."""
    polled: Count = 0
    """Those that are listed from time to time instead."""
    open_gaps: Count = 0
    """Gaps that no rescan has closed yet."""
    version: str = ""
    """Of fswire, as it is installed there."""


class Batch(msgspec.Struct, omit_defaults=True):
    """Events of one agent and one project, numbered `first_seq`, `first_seq + 1`, …; none: a heartbeat."""

    v: int
    project: str
    host: str
    sent_ns: Nanoseconds
    agent: str
    epoch: str
    first_seq: Count
    events: list[Event]
    previous: Previous | None = None
    status: Status | None = None
    """Of a heartbeat."""


def event_id(agent: str, project: str, epoch: str, seq: int) -> str:
    """Return the id of an agent's event: the same however often its batch is delivered. 36 characters."""
    numbering = f"{agent}\0{project}\0{epoch}".encode()
    # The number stands in it as it is: neighbours differ in a digit or two, which a database packs well.
    return f"evt_{hashlib.blake2b(numbering, digest_size=10).hexdigest()}{seq:012x}"


encode = msgspec.json.Encoder().encode
decode_batch = msgspec.json.Decoder(Batch).decode
