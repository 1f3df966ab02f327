"""Who is interested in a path: a trie by path component, so that no look-up scans the interests. Pure.

A path concerns an interest at the path itself or at its parent, a recursive one at any directory above; what
happens to everything below a path (a renamed directory, a gap) concerns all interests there as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

Holder = TypeVar("Holder")


class Interest(msgspec.Struct, frozen=True):
    """What a subscriber wants of one topic: `path` in the virtual tree, and what is below it."""

    vocabulary: str
    """`processors.topics.NOTIFY`, `WATCH` or `DONUTWORK`."""
    project: str | None
    """None: of every project; then `path` is `/`."""
    path: bytes
    """Absolute, such as `/proj_123/src`."""
    recursive: bool = True
    """Else the path itself and its immediate children."""
    follows: bool = False
    """Goes along where the directory, or one above it, is renamed; only the notify topic tells."""


def components(path: str) -> list[str]:
    """Return the names that an absolute path is made of; of `/` none."""
    return path[1:].split("/") if len(path) > 1 else []


class _Node(Generic[Holder]):
    __slots__ = ("children", "plain", "recursive")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Holder]] = {}
        self.plain: dict[Holder, Interest] = {}
        self.recursive: dict[Holder, Interest] = {}

    def held(self, interest: Interest) -> dict[Holder, Interest]:
        return self.recursive if interest.recursive else self.plain

    @property
    def empty(self) -> bool:
        return not (self.children or self.plain or self.recursive)


class Index(Generic[Holder]):
    """Interests, each under who holds it; a holder holds an interest once."""

    def __init__(self) -> None:
        self._root: _Node[Holder] = _Node()

    def add(self, interest: Interest, holder: Holder) -> None:
        """Put an interest in."""
        node = self._root
        for name in components(text(interest.path)):
            node = node.children.setdefault(name, _Node())
        node.held(interest)[holder] = interest

    def remove(self, interest: Interest, holder: Holder) -> None:
        """Take an interest out, and what only it needed; one that is not there is no error."""
        way = [self._root]
        names = components(text(interest.path))
        for name in names:
            child = way[-1].children.get(name)
            if child is None:
                return
            way.append(child)
        way[-1].held(interest).pop(holder, None)
        for name, parent, child in zip(reversed(names), reversed(way[:-1]), reversed(way[1:]), strict=True):
            if not child.empty:
                return
            del parent.children[name]

    def match(self, paths: Iterable[str], *, below: bool = False) -> dict[Holder, list[Interest]]:
        """Return who is concerned by what happened at paths, with the interests; `below`: all of it too."""
        matched: dict[Holder, list[Interest]] = {}
        for path in paths:
            for held in self._concerned(path, below):
                for holder, interest in held.items():
                    known = matched.get(holder)
                    if known is None:
                        matched[holder] = [interest]
                    elif interest not in known:
                        known.append(interest)
        return matched

    def _concerned(self, path: str, below: bool) -> Iterator[dict[Holder, Interest]]:
        names = components(path)
        last = len(names)
        node = self._root
        for depth in range(last + 1):
            if node.recursive:
                yield node.recursive
            if node.plain and depth >= last - 1:
                yield node.plain
            if depth == last:
                break
            child = node.children.get(names[depth])
            if child is None:
                return
            node = child
        if below:
            yield from _all_below(node)


def _all_below(node: _Node[Holder]) -> Iterator[dict[Holder, Interest]]:
    waiting = list(node.children.values())
    while waiting:
        each = waiting.pop()
        yield each.plain
        yield each.recursive
        waiting.extend(each.children.values())


def text(path: bytes) -> str:
    """Return a path as the topics have it: U+FFFD for what is no UTF-8."""
    return path.decode(errors="replace")
