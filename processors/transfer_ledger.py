"""What the sequencer knows, and the batches that it makes of commands. Pure.

One command's records are never in two batches, so that the topic has all of a decision or nothing. A command
that was decided before is answered as it was then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from processors import transfer_records as records
from processors.record_batch import Batches, Record, RecordBatch, field
from processors.transfer_commands import Command
from processors.transfer_records import LAST_KEY, Answer, LastId, Marks, Transfer, Transfers, key_of
from processors.transfers import Decision, decide

_FULL_BYTES = 900_000
"""Commands share a batch up to here, before compression."""
_LARGEST_BYTES = 1_000_000
"""Of a batch on the wire: topics take 1 MiB."""
_NO_LIMIT = 1 << 40
_REMEMBERED = 10_000
"""Answers that can be given again."""


class Read(NamedTuple):
    """A command and its offset."""

    offset: int
    command: Command


class Batch(NamedTuple):
    """Records to be written together, and the answers to give then; of each the records before its end."""

    records: RecordBatch | None
    answers: list[tuple[Command, Answer, int]]


class Ledger:
    """All transfers and the latest answers."""

    def __init__(self) -> None:
        self.transfers = Transfers()
        self.applied = -1
        """Offset of the last command that wrote something: all up to it are decided."""
        self._answered: dict[str, Answer] = {}

    def take(self, key: bytes, value: bytes | None, marks: Marks, offset: int) -> None:
        """Fold a record of `fswire.transfers` in. ValueError: it cannot be read."""
        self.transfers.take(key, value)
        self.applied = max(self.applied, marks.at)
        if marks.answer is not None:
            self._remember(marks.command, msgspec.structs.replace(marks.answer, offset=offset + 1))

    def decide(self, commands: Iterable[Read]) -> list[Batch]:
        """Return what the commands become, in their order, as it is already noted here."""
        made: list[Batch] = []
        held: list[Record] = []
        answers: list[tuple[Command, Answer, int]] = []
        for read in commands:
            answer, written = self._one(read)
            if held and _size(held) + _size(written) > _FULL_BYTES:
                made.append(Batch(_together(held), answers))
                held, answers = [], []
            held += written
            if answer is not None:
                answers.append((read.command, answer, len(held) if written else 0))
        if held or answers:
            made.append(Batch(_together(held) if held else None, answers))
        return made

    def _one(self, read: Read) -> tuple[Answer | None, list[Record]]:
        """Return answer and records; no answer: it was decided before, and wrote nothing."""
        offset, command = read
        known = self._answered.get(command.command)
        if known is not None or offset <= self.applied:
            return known, []
        decision = decide(self.transfers, command)
        written = _records(self.transfers, read, decision)
        if _size(written) > _FULL_BYTES and _together(written).compressed_size() > _LARGEST_BYTES:
            return Answer("refused", error="too much for one request: narrow the filters"), []
        if written:
            self.transfers.apply(decision.changes.items(), decision.last_id)
            self.applied = offset
            self._remember(command.command, decision.answer)
        return decision.answer, written

    def _remember(self, command: str, answer: Answer) -> None:
        self._answered[command] = answer
        while len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]


def _records(known: Transfers, read: Read, decision: Decision) -> list[Record]:
    """Return the records of a decision; the last one carries the answer."""
    values: list[tuple[bytes, bytes | None, Transfer | None]] = [
        (key_of(identity), None if now is None else records.encode(now), _removed(known, identity, now))
        for identity, now in decision.changes.items()
    ]
    if decision.last_id != known.last_id:
        values.append((LAST_KEY, records.encode(LastId(decision.last_id)), None))
    timestamp_ms = time.time_ns() // 1_000_000
    last = len(values) - 1
    command = read.command
    marks = Marks(command.command, read.offset, command.key_id)
    return [
        (
            timestamp_ms,
            field(key),
            value,
            records.headers(marks._replace(answer=decision.answer if index == last else None, before=before)),
        )
        for index, (key, value, before) in enumerate(values)
    ]


def _removed(known: Transfers, identity: int, now: Transfer | None) -> Transfer | None:
    """Return what a deletion is of, where files are to be removed."""
    before = known.rows.get(identity)
    return before if now is None and before is not None and before.directory else None


def _size(written: Sequence[Record]) -> int:
    return sum(len(key) + len(value or b"") + len(headers) + 16 for _, key, value, headers in written)


def _together(written: Sequence[Record]) -> RecordBatch:
    (batch,) = Batches(written, max_bytes=_NO_LIMIT)
    batch.compress()
    return batch
