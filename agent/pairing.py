"""Makes one rename of the two records that inotify reports for it; pure, knows neither clock nor kernel.

Both halves carry one cookie, usually adjacent but not always (inotify(7)). A half whose partner has not
come is held, and all that follows it, so that order is kept: the rename stands where its first half stood,
because what other records say of either name after that point happened after the rename.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from agent.records import ISDIR, MOVED_FROM, MOVED_TO, STRUCTURE, Record

_NEAR = 64
"""Records that are searched for what becomes of a name: a storm has a hundred thousand."""


@dataclass
class Move:
    """A rename: both ends in view, or only the one that is not None."""

    source: Record | None
    target: Record | None
    waiting: bool = False


class Pairing:
    """A queue of records with renames paired; who feeds it decides when waiting has lasted long enough."""

    def __init__(self) -> None:
        self._held: deque[Record | Move] = deque()
        self._waiting: dict[int, Move] = {}
        self._coming: dict[tuple[int, bytes], int | deque[int]] = {}
        """A mask, or several: a queue for each of the names of a storm would be most of the memory."""
        self._halves: dict[int, Record] = {}
        """First halves that are held alone, by the id of their Move."""
        self.directories = 0
        """Records that are held and by which a directory appears, moves or goes."""

    @property
    def waiting(self) -> bool:
        """Tell whether a first half still waits for its second."""
        return bool(self._waiting)

    def add(self, record: Record) -> None:
        """Take the next record in the kernel's order."""
        if record.mask & STRUCTURE:
            self._will_come(record)
        if record.mask & MOVED_FROM:
            earlier = self._waiting.get(record.cookie)
            if earlier is not None:
                earlier.waiting = False  # cookies wrap around
            move = Move(record, None, waiting=True)
            self._waiting[record.cookie] = move
            self._halves[id(move)] = record
            self._held.append(move)
        elif record.mask & MOVED_TO:
            partner = self._waiting.pop(record.cookie, None)
            if partner is None:
                self._held.append(Move(None, record))
            else:
                partner.target = record
                partner.waiting = False
                del self._halves[id(partner)]
        else:
            self._held.append(record)

    def ready(self) -> Iterator[Record | Move]:
        """Yield, in order, all that stands before the first half that waits."""
        while self._held:
            head = self._held[0]
            if isinstance(head, Move) and head.waiting:
                return
            yield self._pop()

    def coming(self, wd: int, name: bytes) -> int:
        """Return the mask of the next record after which another file may have a name; 0: none."""
        masks = self._coming.get((wd, name), 0)
        return masks if isinstance(masks, int) else masks[0]

    def destination(self, wd: int, name: bytes) -> Record | None:
        """Return the second half of the last rename of what has a name now; None: it is not known to stay."""
        key, last = (wd, name), None
        for item in islice(self._held, _NEAR):
            if isinstance(item, Move) and item.source and _key(item.source) == key:
                last = item.target
                if last is None:
                    return None
                key = _key(last)
            elif key in _changes_hands(item):
                return None
        told = len(self._held) <= _NEAR or isinstance(self._coming.get(key), int)
        return last if told else None

    @property
    def halves(self) -> int:
        """Return how many renames are held whose second half has not come."""
        return len(self._halves)

    def sources(self) -> list[Record]:
        """Return the first halves of those."""
        return list(self._halves.values())

    def mentions(self, wd: int, name: bytes) -> bool:
        """Tell whether anything is held about a name; asked seldom, and when little is held."""
        return any((record.wd, record.name) == (wd, name) for record in self._records())

    def _records(self) -> Iterator[Record]:
        for item in self._held:
            ends = (item.source, item.target) if isinstance(item, Move) else (item,)
            yield from (record for record in ends if record is not None)

    def peek(self) -> Record | Move | None:
        """Return what follows the operation that `ready` gave last."""
        return self._held[0] if self._held else None

    def drop(self) -> None:
        """Take away what `peek` showed."""
        self._pop()

    def give_up(self, before_ns: int) -> None:
        """Wait no longer for partners of halves read before a moment: those are moves out of view."""
        for cookie, move in list(self._waiting.items()):
            if move.source is not None and move.source.time_ns <= before_ns:
                move.waiting = False
                del self._waiting[cookie]

    def _pop(self) -> Record | Move:
        item = self._held.popleft()
        if not isinstance(item, Move):
            if item.mask & STRUCTURE:
                self._has_come(item)
            return item
        self._halves.pop(id(item), None)
        for record in (item.source, item.target):
            if record is not None:
                self._has_come(record)
        return item

    def _will_come(self, record: Record) -> None:
        key = (record.wd, record.name)
        masks = self._coming.get(key)
        if masks is None:
            self._coming[key] = record.mask
        elif isinstance(masks, int):
            self._coming[key] = deque((masks, record.mask))
        else:
            masks.append(record.mask)
        if record.mask & ISDIR:
            self.directories += 1

    def _has_come(self, record: Record) -> None:
        key = (record.wd, record.name)
        masks = self._coming[key]
        if isinstance(masks, int) or len(masks) == 1:
            del self._coming[key]
        else:
            masks.popleft()
        if record.mask & ISDIR:
            self.directories -= 1


def _key(record: Record) -> tuple[int, bytes]:
    return record.wd, record.name


def _changes_hands(item: Record | Move) -> list[tuple[int, bytes]]:
    """Return the names that another file has, or none, after a record or rename."""
    if isinstance(item, Move):
        return [_key(record) for record in (item.source, item.target) if record is not None]
    return [_key(item)] if item.mask & STRUCTURE else []
