"""Decides what a command does to the transfers: state and command in, changes and an answer out. Pure.

A decision is whole or nothing. It depends on the state and the command alone, so a command that is decided
again by another worker, on the same state, becomes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from processors import transfer_filters as filters
from processors.transfer_commands import (
    Addressed,
    Asked,
    Cancel,
    Change,
    Claim,
    Clear,
    Command,
    Create,
    Delete,
    Fields,
    Patch,
    Put,
    Replace,
    Report,
    Retry,
)
from processors.transfer_records import Answer, Transfer, Transfers

QUEUED = "Queued"
STARTING = "Starting"
CANCELLED = "Error: cancelled"
_ENDED = ("complete", "failed")
_OF_WORKER = frozenset(("command", "at", "reply", "key_id", "id", "round", "worker", "name"))
"""Fields of a report that are not, or not always, the transfer's."""


class Decision(NamedTuple):
    """What a command becomes. No changes: nothing is written."""

    changes: dict[int, Transfer | None]
    last_id: int
    answer: Answer


class _Nothing(Exception):
    """The command is refused, or void."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


_ABSENT = Answer("absent")


class _Draft:
    """The transfers as they will be if the command is carried out to its end."""

    def __init__(self, known: Transfers, command: Asked) -> None:
        self._known = known
        self._command = command
        self.changes: dict[int, Transfer | None] = {}
        self.last_id = known.last_id

    def get(self, identity: int) -> Transfer | None:
        return self.changes[identity] if identity in self.changes else self._known.rows.get(identity)

    def require(self, identity: int) -> Transfer:
        found = self.get(identity)
        if found is None:
            raise _Nothing(_ABSENT)
        return found

    def matching(self, query: list[tuple[str, str]]) -> list[Transfer]:
        try:
            return filters.parse(query).select(self._known.newest_first())
        except filters.FilterRefused as error:
            raise _Nothing(Answer("refused", error=str(error))) from error

    def create(self, fields: Fields, identity: int | None = None) -> int:
        """Make a transfer: it is fetched unless its status says that somebody else makes it."""
        if identity is None:
            identity = self.last_id + 1
            while self.get(identity) is not None:
                identity += 1
            self.last_id = identity
        new = Transfer(id=identity, created=self._command.at, updated=self._command.at)
        written = self._written(new, fields)
        if written.status in ("", QUEUED):
            written = msgspec.structs.replace(written, status=QUEUED, phase="queued")
        self.changes[identity] = written
        return identity

    def write(self, transfer: Transfer, fields: Fields) -> None:
        self.changes[transfer.id] = self._written(transfer, fields)

    def set(self, transfer: Transfer, **changed: Any) -> None:
        """Write what is not a client's."""
        self.changes[transfer.id] = msgspec.structs.replace(transfer, updated=self._command.at, **changed)

    def delete(self, transfer: Transfer) -> None:
        self.changes[transfer.id] = None

    def _written(self, transfer: Transfer, fields: Fields) -> Transfer:
        key_id = self._command.key_id or transfer.key_id
        return msgspec.structs.replace(transfer, **given(fields), updated=self._command.at, key_id=key_id)


def given(struct: msgspec.Struct) -> dict[str, Any]:
    """Return those fields that are there."""
    named = ((name, getattr(struct, name)) for name in struct.__struct_fields__)
    return {name: value for name, value in named if value is not UNSET}


def decide(known: Transfers, command: Command) -> Decision:
    """Return what a command becomes; `known` stays as it is."""
    draft = _Draft(known, command)
    try:
        answer = _DECIDED[type(command)](draft, command)
    except _Nothing as nothing:
        return Decision({}, known.last_id, nothing.answer)
    # what was made and deleted by the same command never was
    changes = {
        identity: now for identity, now in draft.changes.items() if now is not None or identity in known.rows
    }
    return Decision(changes, draft.last_id, answer)


def _create(draft: _Draft, command: Create) -> Answer:
    return Answer("created", draft.create(command.fields))


def _put(draft: _Draft, command: Put) -> Answer:
    found = draft.get(command.id)
    if found is None:
        return Answer("created", draft.create(command.fields, command.id))
    draft.write(found, command.fields)
    return Answer("written", command.id)


def _patch(draft: _Draft, command: Patch) -> Answer:
    draft.write(draft.require(command.id), command.fields)
    return Answer("written", command.id)


def _delete(draft: _Draft, command: Delete) -> Answer:
    draft.delete(draft.require(command.id))
    return Answer("written", command.id)


def _clear(draft: _Draft, command: Clear) -> Answer:
    for each in draft.matching(command.query):
        draft.delete(each)
    return Answer("written")


def _replace(draft: _Draft, command: Replace) -> Answer:
    for each in draft.matching(command.query):
        draft.delete(each)
    for fields in command.objects:
        draft.create(fields)
    return Answer("written")


def _change(draft: _Draft, command: Change) -> Answer:
    for each in command.objects:
        _change_one(draft, each)
    for identity in command.deleted:
        draft.delete(draft.require(identity))
    return Answer("written")


def _change_one(draft: _Draft, addressed: Addressed) -> None:
    found = None if addressed.id is None else draft.get(addressed.id)
    if found is None:
        draft.create(addressed.fields)
    else:
        draft.write(found, addressed.fields)


def _cancel(draft: _Draft, command: Cancel) -> Answer:
    found = draft.require(command.id)
    if found.phase not in ("queued", "running"):
        return Answer("refused", error="it is not under way")
    draft.set(found, phase="failed", status=CANCELLED, round=found.round + 1, worker="", retry_at="")
    return Answer("written", command.id)


def _retry(draft: _Draft, command: Retry) -> Answer:
    found = draft.require(command.id)
    if found.phase != "failed":
        return Answer("refused", error="it has not failed")
    cleared = {"worker": "", "attempts": 0, "error": "", "retry_at": "", "progress": 0}
    draft.set(found, phase="queued", status=QUEUED, round=found.round + 1, **cleared)
    return Answer("written", command.id)


def _claim(draft: _Draft, command: Claim) -> Answer:
    found = draft.require(command.id)
    if found.round != command.round or found.phase not in ("queued", "running"):
        raise _Nothing(Answer("refused", error="the round is over"))
    named = {} if command.local_dir is None else {"local_dir": command.local_dir}
    status = {} if found.phase == "running" else {"status": STARTING}
    draft.set(
        found,
        phase="running",
        worker=command.worker,
        host=command.host,
        project=command.project,
        directory=command.directory,
        celery_task_id=command.run,
        **named,
        **status,
    )
    return Answer("written", command.id)


def _report(draft: _Draft, command: Report) -> Answer:
    found = draft.require(command.id)
    told = {name: value for name, value in given(command).items() if name not in _OF_WORKER}
    is_over = found.phase in _ENDED and told.keys() != {"md5"}
    if (found.round, found.worker) != (command.round, command.worker) or is_over:
        raise _Nothing(Answer("refused", error="another worker has it, or its round is over"))
    if command.name is not UNSET and not found.name:
        told["name"] = command.name
    draft.set(found, **told)
    return Answer("written", command.id)


_DECIDED: dict[type, Callable[[_Draft, Any], Answer]] = {
    Create: _create,
    Put: _put,
    Patch: _patch,
    Delete: _delete,
    Clear: _clear,
    Replace: _replace,
    Change: _change,
    Cancel: _cancel,
    Retry: _retry,
    Claim: _claim,
    Report: _report,
}
