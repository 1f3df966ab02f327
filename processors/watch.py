"""The watch vocabulary (the `distant` API): one raw event becomes the `change` records of `fswire.watch`.

Paths are absolute in the virtual tree, `/<projectId>/…`. Spelling is the seed's; what is unset is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from agent.event import Changed, Event
from processors.donutwork import content_written
from processors.instants import iso

ChangeKind = Literal[
    "access",
    "attribute",
    "closeWrite",
    "closeNoWrite",
    "create",
    "delete",
    "modify",
    "open",
    "rename",
    "unknown",
]
Attribute = Literal["ownership", "permissions", "timestamp"]


class Details(msgspec.Struct, omit_defaults=True, frozen=True):
    """What is known beyond kind and path; never written when empty."""

    attribute: Attribute | None = None
    renamed: str | None = None
    """The new path."""
    timestamp: int | None = None
    """The file's own time in Unix seconds: on create its birth, else its last modification."""
    extra: str | None = None


class Change(msgspec.Struct, omit_defaults=True, frozen=True, tag_field="type", tag="change"):
    """One change; `timestamp` is when it happened at its source, in Unix seconds."""

    timestamp: int
    kind: ChangeKind
    path: str
    details: Details | None = None


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What stands in the place of events that may have been lost."""

    kind: Literal["other"]
    description: str


_encode = msgspec.json.Encoder().encode
_SECOND_NS = 1_000_000_000
_OWNERSHIP: frozenset[Changed] = frozenset(("uid", "gid"))
_PERMISSIONS: frozenset[Changed] = frozenset(("mode", "acl"))
_TIMESTAMP: frozenset[Changed] = frozenset(("mtime", "atime", "btime"))
_UNNAMED: frozenset[Changed] = frozenset(("flags", "streams"))
_CONTENT: frozenset[Changed] = frozenset(("data", "size", "mtime", "atime", "btime"))
_GROUPS: tuple[tuple[Attribute, frozenset[Changed]], ...] = (
    ("ownership", _OWNERSHIP),
    ("permissions", _PERMISSIONS),
    ("timestamp", _TIMESTAMP),
)


def records(root: str, event: Event) -> Sequence[bytes]:
    """Return the encoded records of one event, in order; `root` is `/<projectId>`."""
    make = _MAKERS.get(event.kind)
    return make(root, event) if make is not None else ()


def _absolute(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _change(
    root: str,
    event: Event,
    kind: ChangeKind,
    time_ns: int | None = None,
    *,
    attribute: Attribute | None = None,
    renamed: str | None = None,
) -> bytes:
    timestamp = time_ns // _SECOND_NS if time_ns is not None else None
    extra = event.extra
    details = None
    if attribute or renamed or extra or timestamp is not None:
        details = Details(attribute, renamed, timestamp, extra)
    return _encode(Change(event.time_ns // _SECOND_NS, kind, _absolute(root, event.path), details))


def _create(root: str, event: Event) -> list[bytes]:
    return [_change(root, event, "create", event.birth_ns)]


def _modify(root: str, event: Event) -> list[bytes]:
    return [_change(root, event, "modify", event.mtime_ns), *_attributes(root, event, beside_content=True)]


def _close_write(root: str, event: Event) -> list[bytes]:
    closed = _change(root, event, "closeWrite")
    return [*_modify(root, event), closed] if content_written(event) else [closed]


def _rename(root: str, event: Event) -> list[bytes]:
    if event.moved == "in":
        return [_change(root, event, "rename", event.mtime_ns)]
    renamed = _absolute(root, event.renamed_to) if event.renamed_to else None
    return [_change(root, event, "rename", renamed=renamed)]


def _attribute(root: str, event: Event) -> list[bytes]:
    return _attributes(root, event) or [_change(root, event, "attribute", event.mtime_ns)]


def _attributes(root: str, event: Event, *, beside_content: bool = False) -> list[bytes]:
    """One change for each group that changed; that new content has a new mtime is not said again."""
    changed = event.changed
    if not changed or (beside_content and _CONTENT.issuperset(changed)):
        return []
    changes = [
        _change(root, event, "attribute", event.mtime_ns, attribute=attribute)
        for attribute, group in _GROUPS
        if not group.isdisjoint(changed) and not (beside_content and group is _TIMESTAMP)
    ]
    if not _UNNAMED.isdisjoint(changed):
        changes.append(_change(root, event, "attribute", event.mtime_ns))
    return changes


def _plain(kind: ChangeKind) -> Callable[[str, Event], list[bytes]]:
    return lambda root, event: [_change(root, event, kind)]


def _gap(root: str, event: Event) -> list[bytes]:
    return [_encode(Error("other", gap_description(root, event)))]


def gap_description(root: str, event: Event) -> str:
    """Say what a gap may hide, since when, and why."""
    gap = event.gap
    place = _absolute(root, event.path)
    if gap is None:
        return f"events of {place} may be missing"
    scope = f"{place} and everything below it" if gap.recursive else place
    since = f" since {iso(gap.since_ns)}" if gap.since_ns is not None else ""
    until = iso(gap.until_ns if gap.until_ns is not None else event.time_ns)
    return f"events of {scope} may be missing{since} until {until}: {gap.reason} ({gap.id})"


_MAKERS: dict[str, Callable[[str, Event], Sequence[bytes]]] = {
    "create": _create,
    "modify": _modify,
    "closeWrite": _close_write,
    "delete": _plain("delete"),
    "rename": _rename,
    "attribute": _attribute,
    "access": _plain("access"),
    "open": _plain("open"),
    "closeNoWrite": _plain("closeNoWrite"),
    "unknown": _plain("unknown"),
    "gap": _gap,
}
