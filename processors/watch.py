"""The watch vocabulary (the `distant` API): one raw event becomes the `change` records of `fswire.watch`.

Paths are absolute in the virtual tree, `/<projectId>/…`. Spelling is the seed's; what is unset is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from agent.event import Changed, Event
from processors.instants import iso
from processors.written import content_written

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
Parts = tuple[str, str]
"""Of a `Change` as it is encoded, what stands before its kind and behind: the same for all of an event's."""

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
    if make is None:
        return ()
    path = _encode(_absolute(root, event.path)).decode()
    moment = event.time_ns // _SECOND_NS
    return make(root, event, (f'{{"type":"change","timestamp":{moment},"kind":"', f'","path":{path}'))


def _absolute(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _change(
    parts: Parts,
    kind: str,
    event: Event,
    time_ns: int | None = None,
    *,
    attribute: Attribute | None = None,
    renamed: str | None = None,
) -> bytes:
    """Return an encoded change; its details come last, and are left out where nothing is known."""
    before, behind = parts
    timestamp = None if time_ns is None else time_ns // _SECOND_NS
    if attribute or renamed or event.extra:
        details = _encode(Details(attribute, renamed, timestamp, event.extra)).decode()
        return f'{before}{kind}{behind},"details":{details}}}'.encode()
    if timestamp is None:
        return f"{before}{kind}{behind}}}".encode()
    return f'{before}{kind}{behind},"details":{{"timestamp":{timestamp}}}}}'.encode()


def _create(_root: str, event: Event, parts: Parts) -> list[bytes]:
    return [_change(parts, "create", event, event.birth_ns)]


def _modify(_root: str, event: Event, parts: Parts) -> list[bytes]:
    modified = _change(parts, "modify", event, event.mtime_ns)
    changed = event.changed
    if not changed or _CONTENT.issuperset(changed):
        return [modified]
    return [modified, *_attributes(event, parts, [each for each in changed if each not in _TIMESTAMP])]


def _close_write(root: str, event: Event, parts: Parts) -> list[bytes]:
    closed = _change(parts, "closeWrite", event)
    return [*_modify(root, event, parts), closed] if content_written(event) else [closed]


def _rename(root: str, event: Event, parts: Parts) -> list[bytes]:
    if event.moved == "in":
        return [_change(parts, "rename", event, event.mtime_ns)]
    renamed = _absolute(root, event.renamed_to) if event.renamed_to else None
    return [_change(parts, "rename", event, renamed=renamed)]


def _attribute(_root: str, event: Event, parts: Parts) -> list[bytes]:
    told = _attributes(event, parts, event.changed or ())
    return told or [_change(parts, "attribute", event, event.mtime_ns)]


def _attributes(event: Event, parts: Parts, changed: Sequence[Changed]) -> list[bytes]:
    """One change for each group that changed, and one without a name for what belongs to none."""
    named: list[Attribute | None] = [name for name, group in _GROUPS if not group.isdisjoint(changed)]
    if not _UNNAMED.isdisjoint(changed):
        named.append(None)
    return [_change(parts, "attribute", event, event.mtime_ns, attribute=each) for each in named]


def _plain(kind: str) -> Callable[[str, Event, Parts], list[bytes]]:
    return lambda _root, event, parts: [_change(parts, kind, event)]


def _gap(root: str, event: Event, _parts: Parts) -> list[bytes]:
    return [_encode(Error("other", gap_description(root, event)))]


def gap_description(root: str, event: Event) -> str:
    """Say what a gap may hide, since when, and why."""
    gap = event.gap
    if gap is None:
        raise ValueError("a gap without its particulars")
    place = _absolute(root, event.path)
    scope = f"{place} and everything below it" if gap.recursive else place
    since = f" since {iso(gap.since_ns)}" if gap.since_ns is not None else ""
    until = iso(gap.until_ns if gap.until_ns is not None else event.time_ns)
    return f"events of {scope} may be missing{since} until {until}: {gap.reason} ({gap.id})"


_MAKERS: dict[str, Callable[[str, Event, Parts], Sequence[bytes]]] = {
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
