"""What normalize remembers of one partition, kept in the same partition of `fswire.state`.

Every record carries where it was made (`src`) and the value before its chunk. Recovery takes that value for
what lies at or after the committed offset, because such a chunk is done again. At most one chunk may lie
there: the next one's state is written only once the commit of the one before succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec

from processors.event_ids import Known
from processors.files import end_of, just_before, record
from processors.position import Position
from processors.record_batch import MAX_BYTES
from processors.record_batch import Record as FileRecord
from processors.tree import Base, Change, Move, Tree
from processors.watermarks import Marks

V = TypeVar("V", Marks, Known, Move)

_HEADERS_BYTES = 64
"""Of a record of the files: names and places; an entry's head, which is not written, makes up for more."""
_MARKS = "marks/"
_EVENT = "event/"
_MOVE = "move/"
OFFSET_KEY = b"offset/"
OWNER_KEY = b"owner/"
"""Of the record that a new owner of the partition writes first; its value says nothing."""


class MarksRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """Value of a record keyed `marks/<project>/<agent>`."""

    src: str
    value: Marks
    before: Marks | None = None


class EventRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """Value of a record keyed `event/<digest of project and event id>`."""

    src: str
    value: Known
    before: Known | None = None


class MoveRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """Value of a record keyed `move/<src>`: a renamed directory's files are still to be re-keyed."""

    src: str
    value: Move
    before: None = None


class OffsetRecord(msgspec.Struct, frozen=True):
    """Value of the record keyed `offset/`: where the newest chunk that changes anything begins and ends."""

    before: int
    after: int


_encode = msgspec.json.Encoder().encode
_decode_marks = msgspec.json.Decoder(MarksRecord).decode
_decode_event = msgspec.json.Decoder(EventRecord).decode
_decode_move = msgspec.json.Decoder(MoveRecord).decode

Record = tuple[bytes, bytes | None]
"""Key and value of a record of the state topic; None deletes."""


class Remembered(Generic[V]):
    """One kind of remembered value by name, oldest first, as one partition's records told it."""

    def __init__(self, stem: str, decode: Callable[[bytes], MarksRecord | EventRecord | MoveRecord]) -> None:
        self.stem = stem
        self.values: dict[str, V] = {}
        self._decode = decode
        self._ahead: set[str] = set()

    def load(self, name: str, value: bytes | None, committed: int) -> None:
        """Take one record of the topic, in the topic's order."""
        self.values.pop(name, None)
        self._ahead.discard(name)
        if not value:
            return
        record = self._decode(value)
        held: Any = record.value
        if Position.parse(record.src).offset >= committed:
            held = record.before
            self._ahead.add(name)
        if held is not None:
            self.values[name] = held

    def put(self, name: str, value: V) -> None:
        """Make it the newest."""
        self.values.pop(name, None)
        self.values[name] = value

    def drop_oldest(self) -> bytes:
        """Forget the oldest and return its key in the topic."""
        name = next(iter(self.values))
        del self.values[name]
        return f"{self.stem}{name}".encode()

    def corrections(self, src: Position, make: Callable[[str, V], bytes]) -> Iterator[Record]:
        """Yield records that put back what a chunk that was never committed had written."""
        for name in self._ahead:
            value = self.values.get(name)
            key = f"{self.stem}{name}".encode()
            yield key, make(str(src), value) if value is not None else None
        self._ahead.clear()


class State:
    """The committed state of one partition: marks by `<project>/<agent>`, ids by digest."""

    def __init__(self, horizon_ms: int, agent_horizon_ms: int, max_ids: int) -> None:
        self.horizon_ms = horizon_ms
        self._agent_horizon_ms = agent_horizon_ms
        self._max_ids = max_ids
        self.marks: Remembered[Marks] = Remembered(_MARKS, _decode_marks)
        self.ids: Remembered[Known] = Remembered(_EVENT, _decode_event)
        self.moves: Remembered[Move] = Remembered(_MOVE, _decode_move)
        self._forgotten: list[Record] = []

    def load(self, key: bytes | None, value: bytes | None, committed: int) -> None:
        """Take one record of the state topic; raises ValueError (msgspec's errors are) where it is none."""
        stem, slash, name = (key or b"").decode().partition("/")
        for kind in (self.marks, self.ids, self.moves):
            if kind.stem == stem + slash:
                kind.load(name, value, committed)

    def corrections(self, committed: int) -> list[Record]:
        """Return what recovery writes first: the values before the chunk that is done again."""
        src = Position(committed - 1, 0, 0)
        return [
            *self.marks.corrections(src, lambda at, marks: _encode(MarksRecord(at, marks))),
            *self.ids.corrections(src, lambda at, known: _encode(EventRecord(at, known))),
            *self.moves.corrections(src, lambda at, move: _encode(MoveRecord(at, move))),
        ]

    def done(self, move: Move) -> Record:
        """Return the record by which a move is forgotten that was carried out."""
        return f"{_MOVE}{move.name}".encode(), None

    def projects(self) -> set[str]:
        """Return the projects of which anything is remembered."""
        return {name.partition("/")[0] for name in self.marks.values}

    def forget(self, now_ms: int) -> None:
        """Drop what is past its horizon or over the bound; called after a commit."""
        ids, marks = self.ids, self.marks
        while ids.values and (len(ids.values) > self._max_ids or self.held_ms(now_ms) > self.horizon_ms):
            self._forgotten.append((ids.drop_oldest(), None))
        while marks.values and now_ms - _oldest(marks.values).seen_ms > self._agent_horizon_ms:
            self._forgotten.append((marks.drop_oldest(), None))

    def forgotten(self) -> list[Record]:
        """Return the tombstones still to be written, before any other record; `wrote` confirms them."""
        return list(self._forgotten)

    def wrote(self, tombstones: list[Record]) -> None:
        """Note that these tombstones are acknowledged."""
        del self._forgotten[: len(tombstones)]

    def held_ms(self, now_ms: int) -> int:
        """Return how far back ids are remembered at present."""
        return now_ms - _oldest(self.ids.values).received_ms if self.ids.values else 0


def _bytes(changes: list[Change]) -> int:
    """Return at most how long the records of changes are together."""
    values = chain.from_iterable((key, entry or b"", before or b"") for key, entry, before, _ in changes)
    return sum(map(len, values)) + _HEADERS_BYTES * len(changes)


def _oldest(values: dict[str, V]) -> V:
    return next(iter(values.values()))


class Draft:
    """What a chunk changes, over a state and files that stay as they are until the chunk is committed."""

    def __init__(self, state: State, stored: Base) -> None:
        self.tree = Tree(stored)
        self._state = state
        self._marks: dict[str, tuple[str, Marks]] = {}
        self._ids: dict[str, tuple[str, Known]] = {}
        self.horizon_ms = state.horizon_ms

    def marks(self, name: str) -> Marks | None:
        """Return the marks of `<project>/<agent>` as this chunk sees them."""
        drafted = self._marks.get(name)
        return drafted[1] if drafted is not None else self._state.marks.values.get(name)

    def set_marks(self, name: str, marks: Marks, src: Position) -> None:
        """Change them, because of the event at `src`."""
        self._marks[name] = (str(src), marks)

    def known(self, digest: str) -> Known | None:
        """Return what an event id stands for as this chunk sees it."""
        drafted = self._ids.get(digest)
        return drafted[1] if drafted is not None else self._state.ids.values.get(digest)

    def learn(self, digest: str, known: Known, src: Position) -> None:
        """Remember an event id, because of the event at `src`."""
        self._ids[digest] = (str(src), known)

    def records(self) -> list[Record]:
        """Return the records to be acknowledged before the chunk's offset is committed."""
        marks, ids = self._state.marks.values, self._state.ids.values
        return [
            *(
                (f"{_MARKS}{name}".encode(), _encode(MarksRecord(src, value, marks.get(name))))
                for name, (src, value) in self._marks.items()
            ),
            *(
                (f"{_EVENT}{name}".encode(), _encode(EventRecord(src, value, ids.get(name))))
                for name, (src, value) in self._ids.items()
            ),
            *(
                (f"{_MOVE}{move.name}".encode(), _encode(MoveRecord(f"{move.name}.0", move)))
                for move in self.tree.moves
            ),
        ]

    def files(self, began: int, timestamp_ms: int) -> Iterator[FileRecord]:
        """Yield the records for `fswire.files`; the chunk began at this raw offset.

        Where one batch does not hold them, whoever reads between two finds the topic complete up to the
        chunk alone: a path that is changed twice in it is told once, where it is changed last.
        """
        first = self.tree.moves[0].at if self.tree.moves else None
        changes = self.tree.changes()
        split = end_of(began - 1) if self.tree.overtaken and _bytes(changes) > MAX_BYTES else None
        last = len(changes) - 1
        for nth, (key, entry, before, at) in enumerate(changes):
            src = just_before(first) if first and at >= first else None
            yield record(key, entry, before, at, timestamp_ms, split if split and nth < last else src)

    def offset(self, before: int, after: int) -> list[Record]:
        """Return the record that says where the chunk lies, none for one that changes nothing.

        It is acknowledged before anything else of the state: whoever finds the group's offset lost goes on at
        `before`, where the values before the chunk are right.
        """
        if not (self._marks or self._ids or self.tree.changed or self.tree.moves):
            return []
        return [(OFFSET_KEY, _encode(OffsetRecord(before, after)))]

    def apply(self) -> None:
        """Make the changes those of the state; called once the chunk is committed."""
        for name, (_, marks) in self._marks.items():
            self._state.marks.put(name, marks)
        for digest, (_, known) in self._ids.items():
            self._state.ids.put(digest, known)
        for move in self.tree.moves:
            self._state.moves.put(move.name, move)
