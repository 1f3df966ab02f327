"""What clients and the transfer worker ask for: one record of `fswire.transfer-commands` each.

The sequencer decides them in order (`processors.transfers`). A command carries all that its decision needs,
its moment among it, so that it is decided alike however often it is read.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from agent.event import Reply
from processors.decode import Refusal
from processors.transfer_records import Phase


class Fields(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """What a client writes of a transfer; what it did not send is not there."""

    url: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    md5sum: str | UnsetType | None = UNSET
    size: int | UnsetType | None = UNSET
    progress: int | UnsetType = UNSET
    local_dir: str | UnsetType = UNSET
    tags: str | UnsetType = UNSET
    celery_task_id: str | UnsetType = UNSET
    created: str | UnsetType = UNSET


class Asked(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True, tag_field="do", tag=str.lower):
    """What every command has."""

    command: str
    """Its id."""
    at: str
    """When it was asked for, as `processors.instants.iso` writes it."""
    reply: Reply | None = None
    key_id: str = ""


class Create(Asked, frozen=True):
    """A new transfer under the next id."""

    fields: Fields


class Put(Asked, frozen=True):
    """Write to a transfer, or make it under this id."""

    id: int
    fields: Fields


class Patch(Asked, frozen=True):
    """Write to a transfer that is there."""

    id: int
    fields: Fields


class Delete(Asked, frozen=True):
    """Cancel a transfer, and forget it."""

    id: int


class Clear(Asked, frozen=True):
    """Delete what a query string's filters match."""

    query: list[tuple[str, str]] = []


class Replace(Asked, frozen=True):
    """Delete what the filters match, and make these."""

    objects: list[Fields]
    query: list[tuple[str, str]] = []


class Addressed(msgspec.Struct, omit_defaults=True, frozen=True):
    """One object of a list: `id` None is a new one."""

    fields: Fields
    id: int | None = None


class Change(Asked, frozen=True):
    """Write to some, make those that are not there, delete others: all of it or nothing."""

    objects: list[Addressed]
    deleted: list[int] = []


class Cancel(Asked, frozen=True):
    """Stop fetching, and keep the transfer."""

    id: int


class Retry(Asked, frozen=True):
    """Fetch again what failed."""

    id: int


class Claim(Asked, frozen=True, kw_only=True):
    """A worker begins, or goes on with, one round of a transfer."""

    id: int
    round: int
    worker: str
    host: str
    directory: str
    run: str
    project: str = ""
    local_dir: str | None = None
    """None: the one that a client named stays."""


class Report(Asked, frozen=True, kw_only=True):
    """How far a worker is; fields that are not there stay."""

    id: int
    round: int
    worker: str
    phase: Phase | UnsetType = UNSET
    status: str | UnsetType = UNSET
    progress: int | UnsetType = UNSET
    size: int | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    """Taken where the transfer has none."""
    file: str | UnsetType = UNSET
    validator: str | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    retry_at: str | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    md5: str | UnsetType = UNSET


Command = Create | Put | Patch | Delete | Clear | Replace | Change | Cancel | Retry | Claim | Report

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Command).decode


def read(value: bytes | None) -> Command | Refusal:
    """Return what a record asks for, or why it cannot be read."""
    try:
        command: Command = decode(value or b"")
    except msgspec.ValidationError as error:
        return Refusal("wrong_shape", str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal("not_json", str(error))
    return command
