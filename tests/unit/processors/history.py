"""A tree in memory, what is done to it, and the raw events by which an agent would report that."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Any

from agent.event import Event, Gap, Source
from tests.unit.processors.raw import event

ROOT_ID = "101"
NOT_UTF8 = "bad\ufffd"
"""A name as events have it; its bytes are `bad` and 0xff."""


@dataclass
class Node:
    """A file or directory as it is, and what the vocabularies tell of it."""

    file_id: str
    is_dir: bool
    sha256: str | None
    """None of a directory, and of what is no regular file."""
    arrival: int = 0
    """It was the so-and-so-many-eth that came into view."""
    writes: int = 0
    """How often its content was written to since."""
    is_open: bool = False


Tree = dict[str, Node]
"""By path; those of a subtree that is out of view are relative to its top, `""`."""


def raw_bytes(path: str) -> bytes:
    """Return the bytes of a path as events have it."""
    return path.encode().replace("\ufffd".encode(), b"\xff")


def parent(path: str) -> str:
    """Return the path of the directory that a path is in, `""` for the root."""
    return path.rpartition("/")[0]


def covers(path: str, other: str) -> bool:
    """Tell whether a path is another's, or that of a directory above it."""
    return other == path or other.startswith(path + "/")


class History:
    """Does what can be done, skips what cannot, and reports each in `events`, in order."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.events: list[Event] = []
        self.arrivals = 0
        self._outside: list[Tree] = []
        self._contents = 0
        self._files = 0

    def do(self, verb: str, which: int, directory: int, name: str, variant: int) -> None:
        """Do one thing, if it can be done, to one of the paths there are or to a name in a directory."""
        there = sorted(self.tree)
        directories = ["", *(path for path in there if self.tree[path].is_dir)]
        above = directories[directory % len(directories)]
        place = f"{above}/{name}" if above else name
        if verb in ("mkdir", "write", "link", "enter"):
            getattr(self, f"_{verb}")(place, variant)
        elif there:
            path = there[which % len(there)]
            self._rename(path, place, variant) if verb == "rename" else getattr(self, f"_{verb}")(
                path, variant
            )

    def begin(self) -> None:
        """Make what is there the state that the first scan found: baselines, and nothing was told before."""
        self.close_all()
        for arrival, node in enumerate(self.tree.values(), 1):
            node.arrival, node.writes = arrival, 0
        self.arrivals = len(self.tree)
        self.events = [
            self._event("baseline", path, source="startup", told=node.sha256)
            for path, node in self.tree.items()
        ]

    def close_all(self) -> None:
        """Close what is still open for writing, so that all content is told."""
        for path, node in self.tree.items():
            if node.is_open:
                self._closed(path, node)

    def _create(self, path: str, *, is_dir: bool, sha256: str | None = None, **fields: Any) -> Node | None:
        if path in self.tree or not self._is_directory(parent(path)):
            return None
        self._files += 1
        node = self._met(Node(str(1_000 + self._files), is_dir, sha256))
        self.tree[path] = node
        self._tell("create", path, **fields)
        return node

    def _mkdir(self, path: str, _: int) -> None:
        self._create(path, is_dir=True)

    def _write(self, path: str, variant: int) -> None:
        node = self.tree.get(path)
        if node is None and variant == 0:  # found by a rescan, with its content
            content = self._content()
            self._create(path, is_dir=False, sha256=content, source="rescan", told=content)
            return
        node = node or self._create(path, is_dir=False)
        if node is None or node.is_dir:
            return
        if variant == 1:
            node.sha256, node.is_open = self._content(), True
            self._tell("modify", path, hash_status="unstable", changed=["data", "size"])
            node.writes += 1
        elif variant == 2:
            node.sha256, node.is_open = self._content(), False
            self._tell("modify", path, source="rescan", told=node.sha256, changed=["data", "mtime"])
            node.writes += 1
        else:
            node.sha256 = self._content()
            self._closed(path, node)

    def _closed(self, path: str, node: Node) -> None:
        node.is_open = False
        node.writes += 1
        self._tell("closeWrite", path, told=node.sha256, written=True, changed=["data"])

    def _edit(self, path: str, variant: int) -> None:
        if not self.tree[path].is_dir:
            self._write(path, variant)

    def _same(self, path: str, variant: int) -> None:
        """Something that leaves the tree as it is: opened, read, closed, or nobody knows what."""
        kinds = ("open", "access", "closeNoWrite", "unknown")
        self._tell(kinds[variant], path)

    def _touch(self, path: str, variant: int) -> None:
        changed = (["mode"], ["uid", "gid"], ["mtime"], ["flags", "streams"])[variant]
        self._tell("attribute", path, changed=changed)

    def _reopen(self, path: str, _: int) -> None:
        node = self.tree[path]
        if not node.is_dir and not node.is_open:
            self._tell("closeWrite", path, told=node.sha256)

    def _link(self, path: str, _: int) -> None:
        self._create(path, is_dir=False, hash_status="not_regular")

    def _unlink(self, path: str, _: int) -> None:
        if not self._below(path):
            self._gone(path)

    def _rmtree(self, path: str, _: int) -> None:
        for each in sorted(self._subtree(path), key=lambda name: name.count("/"), reverse=True):
            self._gone(each)

    def _gone(self, path: str, extra: str | None = None) -> None:
        self._tell("delete", path, extra=extra)
        del self.tree[path]

    def _rename(self, path: str, to: str, variant: int) -> None:
        node = self.tree[path]
        if covers(path, to) or not self._is_free(to, is_dir=node.is_dir):
            return
        if to in self.tree:
            self._gone(to, "override")
        for each in self._subtree(path):
            self.tree[to + each[len(path) :]] = self.tree.pop(each)
        told = node.sha256 if variant and not node.is_open else None
        renamed = self._event("rename", to, told=told, moved="within")
        renamed.renamed_to, renamed.renamed_to_b64 = renamed.path, renamed.path_b64
        renamed.path, renamed.path_b64 = path, _in_base64(path)
        self.events.append(renamed)

    def _leave(self, path: str, _: int) -> None:
        self._tell("rename", path, moved="out")
        self._outside.append({each[len(path) :]: self.tree.pop(each) for each in self._subtree(path)})

    def _enter(self, path: str, _: int) -> None:
        if not self._outside or not self._is_free(path, is_dir=self._outside[-1][""].is_dir):
            return
        if path in self.tree:
            self._gone(path, "override")
        arrived = self._outside.pop()
        for below in sorted(arrived, key=lambda name: name.count("/")):
            node = self.tree[path + below] = self._met(arrived[below])
            source: Source = "rescan" if below else "kernel"
            kind = "create" if below else "rename"
            self._tell(kind, path + below, source=source, told=node.sha256, moved=None if below else "in")

    def _gap(self, _: str, variant: int) -> None:
        gap = Gap(f"gap_{variant}", "overflow")
        for kind in ("gap", "gap_closed"):
            self.events.append(event(kind, "", gap=gap, is_dir=True))

    def _met(self, node: Node) -> Node:
        self.arrivals += 1
        return replace(node, arrival=self.arrivals, writes=0, is_open=False)

    def _content(self) -> str:
        self._contents += 1
        return hashlib.sha256(b"%d" % self._contents).hexdigest()

    def _is_directory(self, path: str) -> bool:
        return not path or (path in self.tree and self.tree[path].is_dir)

    def _is_free(self, path: str, *, is_dir: bool) -> bool:
        """Tell whether rename(2) takes a target: none, or one of the same sort, and empty."""
        there = self.tree.get(path)
        if there is None:
            return self._is_directory(parent(path))
        return there.is_dir == is_dir and not self._below(path)

    def _subtree(self, path: str) -> list[str]:
        return [each for each in self.tree if covers(path, each)]

    def _below(self, path: str) -> list[str]:
        return [each for each in self._subtree(path) if each != path]

    def _tell(self, kind: str, path: str, **fields: Any) -> None:
        self.events.append(self._event(kind, path, **fields))

    def _event(self, kind: str, path: str, *, told: str | None = None, **fields: Any) -> Event:
        node = self.tree[path]
        spine = ["2", ROOT_ID, *(self.tree[each].file_id for each in _way(path))]
        return event(
            kind,
            path,
            path_b64=_in_base64(path),
            is_dir=node.is_dir,
            file_id=node.file_id,
            spine=spine,
            sha256=told,
            **fields,
        )


def _way(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]


def _in_base64(path: str) -> str | None:
    encoded = raw_bytes(path)
    return None if encoded == path.encode() else base64.b64encode(encoded).decode()
