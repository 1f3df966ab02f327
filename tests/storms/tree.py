"""The tree that events add up to, and the one on disk: paths, kinds, permission bits and digests of content.

Strict: an event that does not fit the tree before it is an error. A rename costs the same whatever is below.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent.event import Event


class Entry(NamedTuple):
    """What is at a path; `sha256`: of a regular file."""

    is_dir: bool
    mode: int | None
    sha256: str | None


class Contradiction(AssertionError):
    """An event tells of something that cannot have happened in the tree that was told before it."""


@dataclass(slots=True)
class Node:
    """A file or directory."""

    is_dir: bool
    mode: int | None = None
    sha256: str | None = None
    children: dict[str, Node] = field(default_factory=dict)


class Replay:
    """A tree to which events are applied one by one."""

    def __init__(self) -> None:
        self._root = Node(is_dir=True)

    def apply(self, event: Event) -> None:
        """Change the tree as the event tells; raises Contradiction."""
        if event.kind in ("create", "baseline") or (event.kind == "rename" and event.moved == "in"):
            self._appear(event)
        elif event.kind == "delete":
            if self._take(event.path).children:
                raise Contradiction(f"delete of a directory that is not empty: {event.path}")
        elif event.kind == "rename":
            self._rename(event)
        elif event.kind in ("modify", "closeWrite", "attribute") and event.path:
            _describe(self.at(event.path), event)

    def at(self, path: str) -> Node:
        """Return what is at a path; raises Contradiction if that is nothing."""
        node = self._root
        for name in path.split("/") if path else ():
            if name not in node.children:
                raise Contradiction(f"nothing is at {path}")
            node = node.children[name]
        return node

    def entries(self) -> dict[str, Entry]:
        """Return what is at each path."""
        return dict(_entries("", self._root))

    def _appear(self, event: Event) -> None:
        above, _, name = event.path.rpartition("/")
        siblings = self.at(above).children
        if event.kind != "baseline" and name in siblings:
            raise Contradiction(f"{event.kind} of what is there: {event.path}")
        _describe(siblings.setdefault(name, Node(event.is_dir)), event)

    def _rename(self, event: Event) -> None:
        node = self._take(event.path)
        if event.moved != "within":
            return
        above, _, name = (event.renamed_to or "").rpartition("/")
        siblings = self.at(above).children
        if name in siblings:
            raise Contradiction(f"rename over what is there: {event.renamed_to}")
        siblings[name] = node
        _describe(node, event)

    def _take(self, path: str) -> Node:
        above, _, name = path.rpartition("/")
        node = self.at(above).children.pop(name, None)
        if node is None:
            raise Contradiction(f"nothing is at {path}")
        return node


def replay(events: Iterable[Event]) -> dict[str, Entry]:
    """Return the tree that events add up to; raises Contradiction."""
    tree = Replay()
    for event in events:
        tree.apply(event)
    return tree.entries()


def on_disk(root: Path) -> dict[str, Entry]:
    """Return the tree that is there; permission bits of a symbolic link are not looked at."""
    found = {}
    for directory, names, files in os.walk(root):
        for path in (Path(directory, name) for name in names + files):
            found[str(path.relative_to(root))] = _entry(path)
    return found


def _entry(path: Path) -> Entry:
    mode = path.lstat().st_mode
    content = path.read_bytes() if stat.S_ISREG(mode) else None
    sha256 = hashlib.sha256(content).hexdigest() if content is not None else None
    return Entry(stat.S_ISDIR(mode), None if stat.S_ISLNK(mode) else stat.S_IMODE(mode), sha256)


def _describe(node: Node, event: Event) -> None:
    if event.mode is not None:
        node.mode = None if event.filetype == "inode/symlink" else event.mode
    if event.kind != "attribute" and event.hash_status not in (None, "vanished"):
        node.sha256 = event.sha256


def _entries(above: str, directory: Node) -> Iterator[tuple[str, Entry]]:
    for name, node in directory.children.items():
        path = f"{above}/{name}" if above else name
        yield path, Entry(node.is_dir, node.mode, node.sha256)
        yield from _entries(path, node)
