"""The change-notify vocabulary (Qumulo): one raw event becomes one record of `fswire.notify`, a JSON list.

Paths are absolute in the virtual tree, `/<projectId>/…`; a subscriber cuts them to its own directory. What
the subscriber alone can tell, `self_removed` of the directory that it watches, is not here.
"""

from __future__ import annotations

from collections.abc import Callable
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


_encode = msgspec.json.Encoder().encode
_TYPES: dict[Changed, str] = {
    "size": "child_size_changed",
    "mtime": "child_mtime_changed",
    "atime": "child_atime_changed",
    "btime": "child_btime_changed",
    "uid": "child_owner_changed",
    "gid": "child_group_changed",
    "mode": "child_acl_changed",
    "acl": "child_acl_changed",
    "flags": "child_extra_attrs_changed",
}


def record(project: str, event: Event) -> bytes | None:
    """Return the encoded notifications of one event, or None where the vocabulary has none."""
    make = _MAKERS.get(event.kind)
    notifications = make(project, event) if make is not None else None
    return _encode(notifications) if notifications else None


def derived_id(project: str, path: str) -> str:
    """Return the file id of a path that no agent has identified; that of the project's root for `""`."""
    return root_id(f"{project}\0{path}" if path else project)


def spine_of(project: str, path: str) -> list[str]:
    """Return derived ids from the virtual root down to a path."""
    below = accumulate(path.split("/"), lambda parent, name: f"{parent}/{name}") if path else ()
    return [VIRTUAL_ROOT_ID, derived_id(project, ""), *(derived_id(project, each) for each in below)]


def _notification(
    kind: str, project: str, path: str, event: Event, stream: str | None = None
) -> Notification:
    spine = event.spine if event.spine is not None else spine_of(project, path)
    return Notification(kind, f"/{project}/{path}" if path else f"/{project}", spine, stream)


def _added(project: str, event: Event) -> list[Notification]:
    kind = "child_dir_added" if event.is_dir else "child_file_added"
    return [_notification(kind, project, event.path, event)]


def _removed(project: str, event: Event) -> list[Notification]:
    kind = "child_dir_removed" if event.is_dir else "child_file_removed"
    return [_notification(kind, project, event.path, event)]


def _renamed(project: str, event: Event) -> list[Notification]:
    of = "child_dir_moved" if event.is_dir else "child_file_moved"
    if event.moved == "in":
        return [_notification(f"{of}_to", project, event.path, event)]
    ends = [_notification(f"{of}_from", project, event.path, event)]
    if event.moved != "out" and event.renamed_to:
        ends.append(_notification(f"{of}_to", project, event.renamed_to, event))
    return ends


def _written(project: str, event: Event) -> list[Notification]:
    return [_notification("child_data_written", project, event.path, event), *_changed(project, event)]


def _closed(project: str, event: Event) -> list[Notification]:
    return _written(project, event) if content_written(event) else []


def _changed(project: str, event: Event) -> list[Notification]:
    changed = event.changed
    if not changed:
        return []
    kinds = dict.fromkeys(_TYPES[each] for each in changed if each in _TYPES)
    notifications = [_notification(kind, project, event.path, event) for kind in kinds]
    return notifications + _streams(project, event) if "streams" in changed else notifications


def _accessed(project: str, event: Event) -> list[Notification]:
    return [_notification("child_atime_changed", project, event.path, event)]


def _streams(project: str, event: Event) -> list[Notification]:
    former = event.previous.streams if event.previous is not None else None
    before = {stream.name: stream for stream in former or ()}
    after = {stream.name: stream for stream in event.streams or ()}
    return [
        _notification(kind, project, event.path, event, stream)
        for kind, stream in stream_changes(before, after)
    ]


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


def _gap(project: str, event: Event) -> list[GapNotice]:
    gap = event.gap
    place = _notification("gap", project, event.path, event)
    if gap is None:
        return [GapNotice(place.path, place.spine, "", "sequence")]
    return [GapNotice(place.path, place.spine, gap.id, gap.reason, gap.recursive, gap.since_ns, gap.until_ns)]


_MAKERS: dict[str, Callable[[str, Event], list[Notification] | list[GapNotice]]] = {
    "create": _added,
    "modify": _written,
    "closeWrite": _closed,
    "delete": _removed,
    "rename": _renamed,
    "attribute": _changed,
    "access": _accessed,
    "gap": _gap,
}
