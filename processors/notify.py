"""The change-notify vocabulary (Qumulo): one raw event becomes one record of `fswire.notify`, a JSON list.

Paths are absolute in the virtual tree, `/<projectId>/…`; a subscriber cuts them to its own directory. What
the subscriber alone can tell, `self_removed` of the directory that it watches, is not here.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

import msgspec

from agent.event import Changed, Event, Stream
from agent.identity import VIRTUAL_ROOT_ID, root_id
from processors.written import content_written


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
_CHANGING = frozenset(("closeWrite", "modify", "attribute"))


def record(project: str, event: Event) -> bytes | None:
    """Return the encoded notifications of one event, or None where the vocabulary has none."""
    kind = event.kind
    if kind in _CHANGING:
        return _changes(project, event)
    if kind == "rename":
        return _rename(project, event)
    if kind == "gap":
        return _encode([_gap(project, event)])
    told = _TOLD.get((kind, event.is_dir))
    return b"[%b%bnull}]" % (told, _place(project, event.path, event)) if told is not None else None


def _changes(project: str, event: Event) -> bytes | None:
    if event.kind == "closeWrite" and not content_written(event):
        return None
    changed = event.changed or ()
    heads = _heads(event.kind, tuple(changed))
    streams = _streams(event) if "streams" in changed else ()
    if not heads and not streams:
        return None
    place = _place(project, event.path, event)
    told = (place + b"null},").join((*heads, b""))
    for kind, name in streams:
        told += b"%b%b%b}," % (_HEAD % kind.encode(), place, _encode(name))
    return b"[" + told[:-1] + b"]"


@lru_cache(maxsize=1024)
def _heads(kind: str, changed: tuple[Changed, ...]) -> tuple[bytes, ...]:
    """Return how the notifications of a change begin that are not about a stream."""
    types = dict.fromkeys(_TYPES[each] for each in changed if each in _TYPES)
    written = () if kind == "attribute" else (b"child_data_written",)
    return tuple(_HEAD % each for each in (*written, *types))


def _rename(project: str, event: Event) -> bytes:
    what = b"dir" if event.is_dir else b"file"
    source, target = _HEAD % (b"child_%b_moved_from" % what), _HEAD % (b"child_%b_moved_to" % what)
    first = (target if event.moved == "in" else source) + _place(project, event.path, event) + b"null}"
    if event.moved in ("in", "out") or not event.renamed_to:
        return b"[%b]" % first
    return b"[%b,%b%bnull}]" % (first, target, _place(project, event.renamed_to, event))


def _place(project: str, path: str, event: Event) -> bytes:
    spine = event.former_spine if event.former_spine is not None and path == event.path else event.spine
    known = spine if spine is not None else spine_of(project, path)
    return _PLACE % (_encode(_absolute(project, path)), _encode(known))


def _absolute(project: str, path: str) -> str:
    return f"/{project}/{path}" if path else f"/{project}"


def derived_id(project: str, path: str) -> str:
    """Return the file id of a path that no agent has identified; that of the project's root for `""`."""
    return root_id(f"{project}\0{path}" if path else project)


def spine_of(project: str, path: str) -> list[str]:
    """Return derived ids from the virtual root down to a path."""
    below = accumulate(path.split("/"), lambda parent, name: f"{parent}/{name}") if path else ()
    return [VIRTUAL_ROOT_ID, derived_id(project, ""), *(derived_id(project, each) for each in below)]


def _streams(event: Event) -> list[tuple[str, str]]:
    former = event.previous.streams if event.previous is not None else None
    before = {stream.name: stream for stream in former or ()}
    after = {stream.name: stream for stream in event.streams or ()}
    return stream_changes(before, after)


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


_TOLD = {
    (kind, is_dir): _HEAD % name
    for kind, names in {
        "create": (b"child_file_added", b"child_dir_added"),
        "delete": (b"child_file_removed", b"child_dir_removed"),
        "access": (b"child_atime_changed", b"child_atime_changed"),
    }.items()
    for is_dir, name in zip((False, True), names, strict=True)
}
"""How the one notification of an event begins, by kind and whether it is about a directory."""
