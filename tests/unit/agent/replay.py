"""What a consumer makes of raw events: the tree that they add up to, to be compared with the tree on disk."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from agent.event import Event

Tree = dict[bytes, str | None]
"""Path → sha256 of a regular file; "" of a directory; None where the content was not told."""


def path_of(event: Event) -> bytes:
    """Return the path's bytes."""
    return base64.b64decode(event.path_b64) if event.path_b64 else event.path.encode()


def renamed_to(event: Event) -> bytes:
    """Return the bytes of a rename's new path."""
    assert event.renamed_to is not None
    return base64.b64decode(event.renamed_to_b64) if event.renamed_to_b64 else event.renamed_to.encode()


def replay(events: Iterable[Event]) -> Tree:
    """Apply events in order; an event that does not fit what came before fails the test."""
    tree: Tree = {b"": ""}
    for event in events:
        _apply(tree, event)
    tree.pop(b"", None)
    return tree


def _apply(tree: Tree, event: Event) -> None:
    path = path_of(event)
    content = "" if event.is_dir else event.sha256
    if event.kind == "baseline" and path in tree:
        assert event.sha256, f"baseline of a path that is there, without its content: {path!r}"
        tree[path] = content
    elif event.kind in ("create", "baseline") or (event.kind == "rename" and event.moved == "in"):
        assert path not in tree, f"{event.kind} of a path that is there: {path!r}"
        tree[path] = content
    elif event.kind == "delete":
        assert path in tree, f"delete of a path that is not there: {path!r}"
        assert tree[path] != "" or not _below(tree, path), (
            f"delete of a directory that is not empty: {path!r}"
        )
        del tree[path]
    elif event.kind == "rename":
        assert path in tree, f"rename of a path that is not there: {path!r}"
        target = renamed_to(event) if event.moved == "within" else None
        assert target is None or target not in tree, f"rename over a path that is there: {target!r}"
        moved = {name: tree.pop(name) for name in [path, *_below(tree, path)]}
        if target is not None:
            tree |= {target + name[len(path) :]: content for name, content in moved.items()}
            if event.sha256:
                tree[target] = event.sha256
    elif event.kind in ("closeWrite", "modify"):
        assert path in tree, f"{event.kind} of a path that is not there: {path!r}"
        if event.hash_status != "vanished":
            tree[path] = content
    elif event.kind == "attribute":
        assert path in tree, f"attribute of a path that is not there: {path!r}"


def _below(tree: Tree, path: bytes) -> list[bytes]:
    return [name for name in tree if name.startswith(path + b"/" if path else path) and name != path]


def on_disk(root: Path) -> Tree:
    """Return the tree that is there."""
    found: Tree = {}
    for directory, names, files in os.walk(root):
        for path in (Path(directory) / name for name in names + files):
            found[os.fsencode(path.relative_to(root))] = _content(path)
    return found


def _content(path: Path) -> str | None:
    if path.is_symlink():
        return None
    return "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
