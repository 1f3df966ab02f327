"""What a watcher told of a storm, against the ledger: the share of history that is missing, and the tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.event import Event
from tests.storms.ground import Operation
from tests.storms.history import SENTINEL


class Said(NamedTuple):
    """What happened to a path, and its new path if that was a rename: one form for all watchers."""

    kind: str
    """create, delete, rename, change."""
    path: str
    to: str | None = None


Branch = dict[str, "Branch"]
Step = tuple[str, str]
"""A path, and what became of it there: `here`, `gone`, `changed`."""


def of_events(events: Iterable[Event]) -> Iterator[Said]:
    """Yield what an agent's events say."""
    for event in events:
        if event.kind == "rename":
            kind = {"within": "rename", "out": "delete", "in": "create"}[event.moved or "within"]
            yield Said(kind, event.path, event.renamed_to)
        elif event.kind in ("create", "baseline"):
            yield Said("create", event.path)
        elif event.kind == "delete":
            yield Said("delete", event.path)
        elif event.kind in ("modify", "closeWrite", "attribute"):
            yield Said("change", event.path)


def missing_share(operations: Sequence[Operation], said: Iterable[Said]) -> float:
    """Return the share of the ledger's steps that were not told, path by path in their order; 0 to 1."""
    told: dict[str, list[str]] = defaultdict(list)
    for path, step in _steps(said):
        told[path].append(step)
    found = 0
    position: dict[str, int] = defaultdict(int)
    done = list(_steps(_as_said(operations)))
    for path, step in done:
        try:
            position[path] = told[path].index(step, position[path]) + 1
        except ValueError:
            continue
        found += 1
    return 1 - found / len(done)


def tree(said: Iterable[Said]) -> set[str]:
    """Return the paths that it adds up to; what contradicts itself is taken as well as it can be."""
    top: Branch = {}
    for kind, path, to in said:
        if kind == "create":
            _above(top, path).setdefault(_name(path), {})
        elif kind == "delete":
            _above(top, path).pop(_name(path), None)
        elif kind == "rename" and to is not None:
            moved = _above(top, path).pop(_name(path), None)
            if moved is not None:
                _above(top, to)[_name(to)] = moved
            else:
                _above(top, to).setdefault(_name(to), {})
    return {path for path in _paths("", top) if not path.startswith(SENTINEL)}


def _steps(said: Iterable[Said]) -> Iterator[Step]:
    for kind, path, to in said:
        if kind == "rename" and to is not None:
            yield path, "gone"
            yield to, "here"
        else:
            yield path, {"create": "here", "delete": "gone"}.get(kind, "changed")


def _as_said(operations: Sequence[Operation]) -> Iterator[Said]:
    """Yield operations; changes of one file right after each other are one to the kernel."""
    kinds = {"in": "create", "out": "delete", "write": "change", "attribute": "change"}
    before = None
    for each in operations:
        kind = kinds.get(each.verb, each.verb)
        if not (each.verb == "attribute" and before == (each.verb, each.path)):
            yield Said(kind, each.path, each.to)
        before = each.verb, each.path


def _above(top: Branch, path: str) -> Branch:
    for name in path.split("/")[:-1]:
        top = top.setdefault(name, {})
    return top


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _paths(above: str, directory: Branch) -> Iterator[str]:
    for name, below in directory.items():
        path = f"{above}/{name}" if above else name
        yield path
        yield from _paths(path, below)
