"""The watches of one connection, and which of them a record reaches; pure.

A path is text and absolute, `/` alone or without a slash at its end. Watches are found by path component
through an index: what a record costs grows with the depth of its path, not with the number of watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from processors.watch import Change, ChangeKind, Details, Error
from processors.watch_messages import Writer

_decode = msgspec.json.Decoder(Change | Error).decode
_encode = msgspec.json.Encoder().encode


@dataclass(eq=False)
class Watching:
    """One watch; two of one path are two."""

    path: str
    recursive: bool
    kinds: frozenset[ChangeKind]
    origin: bytes | None
    """Encoded id of the request, None where it came bare."""
    given: str = ""
    """The path as it was given, made absolute: it still names the watch when a link on the way is gone."""
    live: bool = False
    """Its `ok` has been sent."""


class Area(NamedTuple):
    """Where something may have been lost."""

    path: str
    recursive: bool = True


class Table:
    """The watches of one connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._by_path: dict[str, list[Watching]] = {}
        self._below: dict[str, dict[str, None]] = {}
        """By each directory on the way to a watch: the paths below it that are watched."""

    def __len__(self) -> int:
        return sum(map(len, self._by_path.values()))

    def __iter__(self) -> Iterator[Watching]:
        return (each for watches in list(self._by_path.values()) for each in watches)

    def add(self, watching: Watching) -> None:
        """Add a watch; it gets changes once it is `live`."""
        self._by_path.setdefault(watching.path, []).append(watching)
        for directory in above(watching.path):
            self._below.setdefault(directory, {})[watching.path] = None

    def remove(self, path: str, given: str = "") -> list[Watching]:
        """Take away all watches on a path, or on what was given as it, and return them."""
        paths = [path] if path in self._by_path else self._given_as(given or path)
        return [gone for each in paths for gone in self._drop(each)]

    def changes(self, record: bytes) -> Iterator[bytes]:
        """Yield what each watch that a record reaches is sent, an error of the record's to all of them."""
        change = _decode(record)
        if isinstance(change, Error):
            for each in self:
                if each.live:
                    yield self._writer.wrapped(record, each.origin)
            return
        spelt = self._writer.spelt(record, change)
        for each in self._reached(change):
            yield self._writer.wrapped(spelt, each.origin)
        if change.kind == "rename":
            yield from self._carried(change)

    def lost(self, area: Area) -> Iterator[Watching]:
        """Yield the watches that a loss concerns."""
        below = self._below.get(area.path, ()) if area.recursive else ()
        seen = dict.fromkeys((*self._covering(area.path), *self._on(below)))
        yield from (each for each in seen if each.live)

    def _reached(self, change: Change) -> Iterable[Watching]:
        renamed = change.details.renamed if change.details else None
        ends = (change.path,) if renamed is None else (change.path, renamed)
        reached = dict.fromkeys(each for path in ends for each in self._covering(path))
        return (each for each in reached if each.live and change.kind in each.kinds)

    def _carried(self, change: Change) -> Iterator[bytes]:
        """Yield a rename of its own to each watch whose path went along with a directory above it."""
        renamed = change.details.renamed if change.details else None
        for each in self._on(self._below.get(change.path, ())):
            if not each.live or "rename" not in each.kinds:
                continue
            rest = each.path[len(change.path) :]
            details = Details(renamed=renamed + rest) if renamed else None
            carried = Change(change.timestamp, "rename", each.path, details)
            yield self._writer.wrapped(self._writer.spelt(_encode(carried), carried), each.origin)

    def _covering(self, path: str) -> Iterator[Watching]:
        """Yield the watches that see what happens at a path."""
        yield from self._by_path.get(path, ())
        for distance, directory in enumerate(above(path)):
            watches = self._by_path.get(directory)
            if watches:
                yield from (each for each in watches if each.recursive or not distance)

    def _on(self, paths: Iterable[str]) -> Iterator[Watching]:
        return (each for path in list(paths) for each in self._by_path[path])

    def _given_as(self, given: str) -> list[str]:
        return list(dict.fromkeys(each.path for each in self if each.given == given))

    def _drop(self, path: str) -> list[Watching]:
        for directory in above(path):
            below = self._below[directory]
            del below[path]
            if not below:
                del self._below[directory]
        return self._by_path.pop(path)


def above(path: str) -> Iterator[str]:
    """Yield the directories above an absolute path, the nearest first."""
    while len(path) > 1:
        path = path[: path.rindex("/")] or "/"
        yield path
