"""What a chunk makes of the known files of a partition, over a store that stays as it is until the commit.

A renamed directory takes what lies below it along. Few entries are re-keyed at once; many become a `Move`
that is carried out in steps after the commit, and until then names are translated on their way to the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Protocol

import msgspec

from agent.event import Event
from processors import files
from processors.files import At
from processors.instants import iso
from processors.origin import Origin

AT_ONCE = 256
"""Entries below a directory that are re-keyed with its rename."""


class Base(Protocol):
    """The committed entries of a partition."""

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the entry of each key."""

    def below(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and entries that begin with `prefix`, in order, from behind `after`."""


class Move(msgspec.Struct, frozen=True, array_like=True):
    """Everything below `source` as of `at` goes below `target`, or away: prefixes of keys, as Latin-1."""

    source: str
    target: str | None
    offset: int
    event: int

    @property
    def name(self) -> str:
        """Return what the state calls it."""
        return f"{self.offset}.{self.event}"

    @property
    def at(self) -> At:
        """Return where the rename stands: what was made behind it stays."""
        return At(self.offset, self.event)

    def ends(self) -> tuple[bytes, bytes | None]:
        """Return source and target as prefixes."""
        return self.source.encode("latin-1"), None if self.target is None else self.target.encode("latin-1")

    def takes(self, entry: bytes) -> bool:
        """Tell whether an entry below the source was there when the directory was renamed."""
        return files.made_at(entry) <= self.at


def carried(moves: Iterable[Move], key: bytes, entry: bytes) -> tuple[bytes, bytes] | None:
    """Return where moves, one after the other, take an entry, and what it is then; None: away."""
    for move in moves:
        source, target = move.ends()
        if not key.startswith(source):
            continue
        if target is None:
            return None
        key, entry = target + key[len(source) :], files.moved(entry, source, target, move.at)
    return key, entry


Change = tuple[bytes, bytes | None, bytes | None, At]
"""A key of the store, its entry after and before a chunk, and where the event is that did it last."""
_at = itemgetter(3)


class Tree:
    """The files as one chunk sees them."""

    def __init__(self, base: Base) -> None:
        self.changed: dict[bytes, bytes | None] = {}
        """Entries by what their paths are called now; None: there is none any more."""
        self._superseded: set[bytes] = set()
        """Keys in the store whose entries are not to be looked at any more; kept once there are moves."""
        self.moves: list[Move] = []
        self.overtaken = False
        """Whether `changes` tell something late: a path that changed again behind other paths."""
        self._base = base
        self._now = At(0, 0)
        self._when: dict[bytes, At] = {}
        self._read: dict[bytes, bytes | None] = {}
        self._told: list[Change] | None = None

    def prefetch(self, keys: Iterable[bytes]) -> None:
        """Read many entries at once, before they are asked for one by one."""
        wanted = list({key for key in keys if key not in self._read})
        self._read.update(zip(wanted, self._base.get(wanted), strict=True))

    def take(
        self,
        origin: Origin,
        event: Event,
        key: bytes,
        before: bytes | None,
        event_id: str,
        at: At,
        *,
        late: bool,
    ) -> None:
        """Note what an event says of its path; of a late one only what is newer than what is known.

        `key` stands for the path, `before` is what `get` says of it.
        """
        self._now, self._told = at, None
        ending = not files.tells(event)
        if ending and not files.ends(event):
            return
        if late and _outdated(event, before):
            return
        if ending:
            self._drop(key)
            self._follow(event, key, None, at)
        elif event.kind == "rename" and event.renamed_to is not None:
            target = files.key(origin.project, event.renamed_to, event.renamed_to_b64)
            entry = files.seen(origin, event, event_id, at, before or self.get(target))
            self._drop(key)
            self._follow(event, key, target, at)
            self._put(target, entry)
        else:
            self._put(key, files.seen(origin, event, event_id, at, before))

    def get(self, key: bytes) -> bytes | None:
        """Return the entry that a key has now."""
        if key in self.changed:
            return self.changed[key]
        if not self.moves:
            return self._read[key] if key in self._read else self._stored(key)
        stored = self._stored_under(key)
        return None if stored is None or stored in self._superseded else self._stored(stored)

    def changes(self) -> list[Change]:
        """Return what becomes of each key of the store that the chunk changes, in the order of the events.

        Whoever has read up to some event has then read what all events before it changed.
        """
        if self._told is None:
            self._told = self._changes()
        return self._told

    def _changes(self) -> list[Change]:
        when, now, read = self._when, self._now, self._read
        gone = self._superseded - self.changed.keys()
        self.prefetch(chain(self.changed, gone))
        found: list[Change] = [
            (key, entry, read[key], when[key])
            for key, entry in self.changed.items()
            if entry is not None or read[key] is not None
        ]
        found += [(key, None, read[key], when.get(key, now)) for key in gone if read[key] is not None]
        in_order = sorted(found, key=_at)
        self.overtaken = bool(self.moves) or in_order != found
        return in_order

    def _follow(self, event: Event, key: bytes, target: bytes | None, at: At) -> None:
        """Take along what is below a path, if it is, or may be, a directory."""
        if event.is_dir or event.http is not None:
            self._move_below(files.below(key), None if target is None else files.below(target), at)

    def _move_below(self, source: bytes, target: bytes | None, at: At) -> None:
        stored = [] if self.moves else self._base.below(source, b"", AT_ONCE + 1)
        if self.moves or len(stored) > AT_ONCE:
            self._move_later(source, target, at)
            return
        self._read.update(stored)
        for key in [key for key, entry in self.changed.items() if entry and key.startswith(source)]:
            self._move(key, source, target, at)
        for key, _ in stored:
            self._move(key, source, target, at)

    def _move_later(self, source: bytes, target: bytes | None, at: At) -> None:
        """Leave what is stored below `source` for later, but for names that were touched in this chunk."""
        if not self.moves:
            self._superseded.update(self.changed)
        taken = {key: entry for key, entry in self.changed.items() if entry and key.startswith(source)}
        if target is not None:
            for key in [key for key, entry in self.changed.items() if not entry and key.startswith(target)]:
                old = source + key[len(target) :]
                entry, stored = self.get(old), self._stored_under(old)
                if entry is not None:
                    taken[old] = entry
                    self._superseded |= {stored} if stored is not None else set()
        text = None if target is None else target.decode("latin-1")
        self.moves.append(Move(source.decode("latin-1"), text, at.offset, at.event))
        for key, entry in taken.items():
            self.changed.pop(key, None)
            if target is not None:
                self._put(target + key[len(source) :], files.moved(entry, source, target, at))

    def _move(self, key: bytes, source: bytes, target: bytes | None, at: At) -> None:
        entry = self.get(key)
        if entry is None:
            return
        self._drop(key)
        if target is not None:
            self._put(target + key[len(source) :], files.moved(entry, source, target, at))

    def _put(self, key: bytes, entry: bytes) -> None:
        if self.moves:
            self._make_room(key)
        self.changed[key], self._when[key] = entry, self._now

    def _drop(self, key: bytes) -> None:
        if self.moves:
            self._make_room(key)
        self.changed[key], self._when[key] = None, self._now

    def _make_room(self, key: bytes) -> None:
        """See to it that no pending move brings an older entry to a key, or loses the one stored there."""
        stored = self._stored_under(key)
        if stored is not None:
            self._superseded.add(stored)
        if stored == key or key in self._superseded:
            return
        occupant = self._stored(key)
        if occupant is not None:
            self._superseded.add(key)
            taken = carried(self.moves, key, occupant)
            if taken is not None:
                self._put(*taken)

    def _stored_under(self, key: bytes) -> bytes | None:
        """Return the key under which the store has what is called `key` now; None: nothing can be there."""
        for move in reversed(self.moves):
            source, target = move.ends()
            if target is not None and key.startswith(target):
                key = source + key[len(target) :]
            elif key.startswith(source):
                return None
        return key

    def _stored(self, key: bytes) -> bytes | None:
        if key not in self._read:
            self._read[key] = self._base.get([key])[0]
        return self._read[key]


def is_duplicate(event: Event, entry: bytes | None, *, late: bool) -> bool:
    """Tell whether an event brings content that its path holds already; `entry` is what is known of it."""
    return files.is_duplicate(event, entry) and not (late and _outdated(event, entry))


def _outdated(event: Event, entry: bytes | None) -> bool:
    return entry is not None and files.happened(entry) > iso(event.time_ns)
