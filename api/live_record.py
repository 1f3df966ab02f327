"""One record of a normalised topic, shared by its subscribers: where it stands, what it is about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from api.live_position import Mark
from processors import topics
from processors.position import Position as Src

Made = TypeVar("Made")


class Reach(NamedTuple):
    """What a record is about: paths of the virtual tree, and whether of all that is below them too."""

    paths: tuple[str, ...]
    below: bool = False
    moved: tuple[str, str] | None = None
    """A directory that was renamed within its project: old and new path."""


class Record:
    """A record that was read once and goes to many; what is made of it for one view is made once."""

    __slots__ = ("_made", "headers", "mark", "partition", "project", "reach", "value")

    def __init__(
        self,
        value: bytes,
        headers: Mapping[str, bytes],
        project: str,
        partition: int,
        mark: Mark,
        reach: Reach,
    ) -> None:
        self.value = value
        self.headers = headers
        self.project = project
        self.partition = partition
        self.mark = mark
        """Right behind it."""
        self.reach = reach
        self._made: dict[Hashable, Any] = {}

    @property
    def src(self) -> Src:
        """Where in `fswire.raw` its event stands."""
        return self.mark.src

    def once(self, view: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` gives, made at the first call for this view."""
        try:
            made: Made = self._made[view]
        except KeyError:
            made = self._made[view] = make()
        return made


class _Notified(msgspec.Struct):
    type: str
    path: str
    recursive: bool = True


class _Renamed(msgspec.Struct):
    renamed: str | None = None


class _Watched(msgspec.Struct):
    kind: str = ""
    path: str | None = None
    details: _Renamed | None = None


class _Told(msgspec.Struct):
    filename: str = ""
    event: str = ""
    renamedTo: str | None = None


_notified = msgspec.json.Decoder(list[_Notified]).decode
_watched = msgspec.json.Decoder(_Watched).decode
_told = msgspec.json.Decoder(_Told).decode
_MOVED_FROM, _MOVED_TO, _REMOVED = "child_dir_moved_from", "child_dir_moved_to", "child_dir_removed"


def reach(vocabulary: str, project: str, value: bytes) -> Reach:
    """Return what a record is about. Raises msgspec.MsgspecError where it is none of its topic's."""
    return _REACH[vocabulary](project, value)


def _of_notify(_project: str, value: bytes) -> Reach:
    notified = _notified(value)
    first = notified[0] if notified else None
    if first is None:
        return Reach(())
    if len(notified) == 1:
        below = first.type in (_REMOVED, _MOVED_FROM) or (first.type == "gap" and first.recursive)
        return Reach((first.path,), below)
    if first.type == _MOVED_FROM:
        ends = first.path, notified[1].path
        return Reach(ends, below=True, moved=ends)
    return Reach(tuple(dict.fromkeys(each.path for each in notified)))


def _of_watch(project: str, value: bytes) -> Reach:
    watched = _watched(value)
    if watched.path is None:
        # An error stands for lost events and names its scope in words alone.
        return Reach((f"/{project}",), below=True)
    below = watched.kind == "rename"  # it takes everything below along
    if watched.details is not None and watched.details.renamed is not None:
        return Reach((watched.path, watched.details.renamed), below)
    return Reach((watched.path,), below)


def _of_donutwork(project: str, value: bytes) -> Reach:
    told = _told(value)
    below = told.event == "gap"
    if told.renamedTo is not None:
        return Reach((_absolute(project, told.filename), _absolute(project, told.renamedTo)), below)
    return Reach((_absolute(project, told.filename),), below)


def _absolute(project: str, path: str) -> str:
    return f"/{project}/{path}" if path else f"/{project}"


_REACH: dict[str, Callable[[str, bytes], Reach]] = {
    topics.NOTIFY: _of_notify,
    topics.WATCH: _of_watch,
    topics.DONUTWORK: _of_donutwork,
}
