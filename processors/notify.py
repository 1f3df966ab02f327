"""The change-notify vocabulary (Qumulo): one raw event becomes one record of `fswire.notify`, a JSON list.

Paths are absolute in the virtual tree, `/<projectId>/…`; a subscriber cuts them to its own directory. What
the subscriber alone can tell, `self_removed` of the directory that it watches, is not here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

import msgspec

from agent.event import Changed, Event, Stream
from agent.identity import VIRTUAL_ROOT_ID, root_id
from processors.donutwork import content_written


class Notification(msgspec.Struct, frozen=True):
    """One notification; `stream_name` null is the file's own content."""

    type: str
    path: str
    spine: list[str]
    stream_name: str | None = None


class GapNotice(msgspec.Struct, omit_defaults=True, frozen=True, tag_field="type", tag="gap"):
    """Stands where events may have been lost; a subscriber sends it as a comment or `event: gap`."""

    path: str
    spine: list[str]
    id: str
    reason: str
    recursive: bool = True
    since_ns: int | None = None
    until_ns: int | None = None


Told = tuple[bytes, str, str | None]
"""Type, path relative to the project, and stream of a notification."""

_encode = msgspec.json.Encoder().encode
_HEAD = b'{"type":"%b'
_PLACE = b'","path":%b,"spine":%b,"stream_name":'
"""`Notification` as it is encoded, written out: path and spine are encoded once for all of an event's."""

_TYPES: dict[Changed, bytes] = {
    "size": b"child_size_changed",
    "mtime": b"child_mtime_changed",
    "atime": b"child_atime_changed",
    "btime": b"child_btime_changed",
    "uid": b"child_owner_changed",
    "gid": b"child_group_changed",
    "mode": b"child_acl_changed",
    "acl": b"child_acl_changed",
    "flags": b"child_extra_attrs_changed",
}


def record(project: str, event: Event) -> bytes | None:
    """Return the encoded notifications of one event, or None where the vocabulary has none."""
    tell = _TELLERS.get(event.kind)
    if tell is None:
        return _encode([_gap(project, event)]) if event.kind == "gap" else None
    told = tell(event)
    if not told:
        return None
    encoded = []
    place, placed = b"", None
    for kind, path, stream in told:
        if path != placed:
            place, placed = _PLACE % (_encode(_absolute(project, path)), _spine(project, path, event)), path
        encoded.append(_HEAD % kind + place + (b"null}" if stream is None else _encode(stream) + b"}"))
    return b"[" + b",".join(encoded) + b"]"


def _absolute(project: str, path: str) -> str:
    return f"/{project}/{path}" if path else f"/{project}"


def _spine(project: str, path: str, event: Event) -> bytes:
    spine = event.former_spine if event.former_spine is not None and path == event.path else event.spine
    return _encode(spine if spine is not None else spine_of(project, path))


def derived_id(project: str, path: str) -> str:
    """Return the file id of a path that no agent has identified; that of the project's root for `""`."""
    return root_id(f"{project}\0{path}" if path else project)


def spine_of(project: str, path: str) -> list[str]:
    """Return derived ids from the virtual root down to a path."""
    below = accumulate(path.split("/"), lambda parent, name: f"{parent}/{name}") if path else ()
    return [VIRTUAL_ROOT_ID, derived_id(project, ""), *(derived_id(project, each) for each in below)]


def _added(event: Event) -> list[Told]:
    return [(b"child_dir_added" if event.is_dir else b"child_file_added", event.path, None)]


def _removed(event: Event) -> list[Told]:
    return [(b"child_dir_removed" if event.is_dir else b"child_file_removed", event.path, None)]


def _renamed(event: Event) -> list[Told]:
    what = b"dir" if event.is_dir else b"file"
    if event.moved == "in":
        return [(b"child_%b_moved_to" % what, event.path, None)]
    ends: list[Told] = [(b"child_%b_moved_from" % what, event.path, None)]
    if event.moved != "out" and event.renamed_to:
        ends.append((b"child_%b_moved_to" % what, event.renamed_to, None))
    return ends


def _written(event: Event) -> list[Told]:
    return [(b"child_data_written", event.path, None), *_changed(event)]


def _closed(event: Event) -> list[Told]:
    return _written(event) if content_written(event) else []


def _changed(event: Event) -> list[Told]:
    changed = event.changed
    if not changed:
        return []
    told: list[Told] = [(kind, event.path, None) for kind in _types(tuple(changed))]
    return told + _streams(event) if "streams" in changed else told


@lru_cache(maxsize=1024)
def _types(changed: tuple[Changed, ...]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(_TYPES[each] for each in changed if each in _TYPES))


def _accessed(event: Event) -> list[Told]:
    return [(b"child_atime_changed", event.path, None)]


def _streams(event: Event) -> list[Told]:
    former = event.previous.streams if event.previous is not None else None
    before = {stream.name: stream for stream in former or ()}
    after = {stream.name: stream for stream in event.streams or ()}
    return [(kind.encode(), event.path, stream) for kind, stream in stream_changes(before, after)]


def stream_changes(before: dict[str, Stream], after: dict[str, Stream]) -> list[tuple[str, str]]:
    """Return type and stream name of each difference between the named streams of a file.

    One that vanished and one that appeared with the same content, in one change, is a move: adjacent ends.
    """
    gone = [before[name] for name in before if name not in after]
    changes: list[tuple[str, str]] = []
    for stream in after.values():
        known = before.get(stream.name)
        if known is not None:
            changes += _stream_differences(known, stream)
            continue
        source = next((each for each in gone if _same_content(each, stream)), None)
        if source is not None:
            gone.remove(source)
            changes += [("child_stream_moved_from", source.name), ("child_stream_moved_to", stream.name)]
        else:
            changes.append(("child_stream_added", stream.name))
    return changes + [("child_stream_removed", stream.name) for stream in gone]


def _same_content(one: Stream, other: Stream) -> bool:
    return one.sha256 is not None and one.sha256 == other.sha256 and one.size == other.size


def _stream_differences(before: Stream, after: Stream) -> list[tuple[str, str]]:
    resized = before.size != after.size
    changes = []
    if resized or before.sha256 != after.sha256:
        changes.append(("child_stream_data_written", after.name))
    if resized:
        changes.append(("child_stream_size_changed", after.name))
    return changes


def _gap(project: str, event: Event) -> GapNotice:
    gap = event.gap
    if gap is None:
        raise ValueError("a gap without its particulars")
    spine = event.spine if event.spine is not None else spine_of(project, event.path)
    path = _absolute(project, event.path)
    return GapNotice(path, spine, gap.id, gap.reason, gap.recursive, gap.since_ns, gap.until_ns)


_TELLERS: dict[str, Callable[[Event], list[Told]]] = {
    "create": _added,
    "modify": _written,
    "closeWrite": _closed,
    "delete": _removed,
    "rename": _renamed,
    "attribute": _changed,
    "access": _accessed,
}
