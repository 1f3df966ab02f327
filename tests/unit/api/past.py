"""A tree with a past: what stood where after each thing that was done, and the records that tell of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from hypothesis import strategies as st

from api.pages.lineage import Moment, Turn
from processors import donutwork
from tests.unit.processors.history import History, Node, parent
from tests.unit.processors.raw import origin

FIRST_US = 1_700_000_000_000_000
_names = st.sampled_from(["a", "b", "c'\"\\%_", "d\n"])
_verbs = st.sampled_from(
    [
        *("mkdir", "mkdir", "write", "write", "edit", "touch"),
        *("rename", "rename", "rename", "unlink", "rmtree", "leave", "enter"),
    ]
)
_step = st.tuples(_verbs, st.integers(0, 30), st.integers(0, 30), _names, st.integers(0, 3))
steps = st.integers(0, 40).flatmap(lambda count: st.lists(_step, min_size=count, max_size=count))
Steps = list[tuple[str, int, int, str, int]]


@dataclass
class Shot:
    """The tree at a moment: after all events up to it, and before the next."""

    at_us: int
    tree: dict[str, Node]

    def names(self, directory: str) -> dict[str, bool]:
        """Return what is in a directory, and which of it are directories."""
        below = {path: node for path, node in self.tree.items() if parent(path) == directory}
        return {path.rpartition("/")[2]: node.is_dir for path, node in below.items()}


class Past:
    """What happened after the first scan, an event each microsecond; `records` are those of Donutwork."""

    def __init__(self, before: Steps, during: Steps) -> None:
        self.history = History()
        for step in before:
            self.history.do(*step)
        self.history.begin()
        self.scanned = len(self.history.events)
        self.shots = [self._shot()]
        for step in during:
            told = len(self.history.events)
            self.history.do(*step)
            if len(self.history.events) > told:
                self.shots.append(self._shot())
        for index, event in enumerate(self.history.events):
            event.time_ns = _us(index) * 1000
        self.records = [record for record in map(self._record, range(len(self.history.events))) if record]

    @property
    def now(self) -> dict[str, Node]:
        """The tree at the end."""
        return self.shots[-1].tree

    def turns(self) -> list[Turn]:
        """Return what became of directories."""
        told = [
            each for each in self.records if each.get("isDir") and each["event"] in ("deleted", "renamed")
        ]
        return [Turn(moment(each), each["filename"], each.get("renamedTo")) for each in told]

    def is_untold(self, shot: Shot, path: str) -> bool:
        """Tell whether nobody ever said that a path was there: its directory went out of view with it."""
        identity = shot.tree[path].file_id
        own = [_us(index) for index, each in self._told() if each.file_id == identity]
        if any(at_us <= shot.at_us for at_us in own):
            return False
        last_us = min(own, default=_us(len(self.history.events)))
        later = [each for each in self.shots if shot.at_us < each.at_us < last_us]
        return any(all(node.file_id != identity for node in each.tree.values()) for each in later)

    def _told(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.history.events))[self.scanned :]

    def _shot(self) -> Shot:
        tree = {path: replace(node) for path, node in self.history.tree.items()}
        return Shot(_us(len(self.history.events) - 1), tree)

    def _record(self, index: int) -> dict[str, Any] | None:
        told = donutwork.record(origin(), self.history.events[index], f"evt_{index:06}", index)
        return None if told is None else {**msgspec.json.decode(told), "us": _us(index)}


def moment(record: dict[str, Any]) -> Moment:
    """Return where a record stands."""
    return Moment(record["us"], record["seq"])


def _us(index: int) -> int:
    return FIRST_US + index
