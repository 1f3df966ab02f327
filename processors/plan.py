"""What the sink commits beside its offset, so that a successor knows which rows may already be there.

Pure. A plan names the records of one insert before it is made. Whoever takes a partition over and finds one
asks the table which of its offsets are there and inserts the rest: a crash at any moment leaves one row each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from processors.position import BEFORE_ALL, Position

SRC_HEADER = "src"


class Read(Protocol):
    """A record as a Kafka client gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


Record = TypeVar("Record", bound=Read)


class Plan(NamedTuple):
    """The records of one insert: first and last offset."""

    first: int
    last: int

    def token(self, topic: str, partition: int) -> str:
        """Return the deduplication token that every attempt at this very insert carries."""
        return f"{topic}:{partition}:{self.first}-{self.last}"


@dataclass(frozen=True)
class Mark:
    """The metadata of a committed offset: the last `src` before it and, while an insert is open, its plan."""

    src: Position = BEFORE_ALL
    plan: Plan | None = None


class _Stored(msgspec.Struct, omit_defaults=True):
    src: str | None = None
    plan: tuple[int, int] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode


def encode(mark: Mark) -> str:
    """Return the metadata of a mark."""
    src = str(mark.src) if mark.src != BEFORE_ALL else None
    return _encode(_Stored(src, mark.plan)).decode()


def decode(metadata: str) -> Mark:
    """Read a mark; empty metadata are that of a partition nobody has read. ValueError for any other text."""
    if not metadata:
        return Mark()
    stored = _decode(metadata)
    src = Position.parse(stored.src) if stored.src is not None else BEFORE_ALL
    return Mark(src, Plan(*stored.plan) if stored.plan is not None else None)


def src_of(record: Read) -> Position | None:
    """Return a record's `src`, or None where it has none that can be read."""
    for name, value in record.headers:
        if name == SRC_HEADER:
            try:
                return Position.parse(value)
            except ValueError:
                return None
    return None


def fresh(records: Iterable[Record], last: Position) -> tuple[list[Record], Position]:
    """Drop the records that are not above the last `src` seen and return the rest, and the last `src` now.

    A record without `src` cannot be a repeat of anything and is kept.
    """
    kept = []
    for record in records:
        src = src_of(record)
        if src is not None:
            if src <= last:
                continue
            last = src
        kept.append(record)
    return kept, last


def last_src(records: Sequence[Read], last: Position) -> Position:
    """Return the last `src` after records that `fresh` kept."""
    for record in reversed(records):
        src = src_of(record)
        if src is not None:
            return max(src, last)
    return last


def within(records: Iterable[Record], plan: Plan) -> list[Record]:
    """Return the records that a plan names."""
    return [record for record in records if plan.first <= record.offset <= plan.last]


def missing(records: Iterable[Record], present: Collection[int]) -> list[Record]:
    """Return the records of a plan whose offsets the table does not have."""
    return [record for record in records if record.offset not in present]


def halves(records: Sequence[Record]) -> tuple[Sequence[Record], Sequence[Record]]:
    """Split the records of a refused plan into two plans."""
    middle = len(records) // 2
    return records[:middle], records[middle:]
