"""Watches one root through fanotify alone: no watch per directory, so the tree may have any number of them.

fanotify merges the unread events of one process about one name and tells the merged one where the first
stood. The history is folded, then: what a record says is told in an order that makes sense, and a name that a
record says is gone is looked at again, so that the tree is right in the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from agent import records as masks
from agent.fan_queue import FanQueue
from agent.fan_records import SELF
from agent.kernel import KernelSession
from agent.pairing import Move
from agent.records import Record
from agent.who import Who

_ORDER = (
    masks.CREATE,
    masks.ATTRIB,
    masks.WRITING,
    masks.OPEN,
    masks.ACCESS,
    masks.CLOSE_NOWRITE,
    masks.DELETE,
)
"""Of a name that was not there before."""
_REPLACED = (masks.DELETE, *_ORDER[:-1])
"""Of one that was, and is made anew."""


class FanotifySession(KernelSession):
    """One life of a fanotify group; `lost_since_ns`: since when events are missing after an overflow."""

    def _new_source(self, extra: int) -> FanQueue:
        task = self._task
        self._queue = FanQueue(task.path, task.handover.wake, extra, actors=task.settings.actors)
        return self._queue

    def _new_who(self, extra: int) -> Who:  # noqa: ARG002 - its events tell who did it by themselves
        return self._queue.who

    def _apply(self, item: Record | Move, record: Record) -> None:
        if isinstance(item, Move):
            super()._apply(item, record)
            self._look_again(item.source)
            return
        for each in self._unfolded(record):
            super()._apply(each, each)
            if each.mask & masks.DELETE:
                self._look_again(each)

    def _unfolded(self, record: Record) -> Iterator[Record]:
        """Yield a record for each thing that a folded one tells."""
        record = self._about_child(record)
        directory = self._view.watches.of(record.wd)
        if not record.name or directory is None:
            yield record
            return
        is_new = self._view.known((directory, record.name)) is None
        is_dir = record.mask & masks.ISDIR
        for mask in _ORDER if is_new or not record.mask & masks.CREATE else _REPLACED:
            if record.mask & mask:
                yield record._replace(mask=record.mask & mask | is_dir)

    def _about_child(self, record: Record) -> Record:
        """Return what a directory's event about itself tells of a name in its parent; the root has none."""
        directory = self._view.watches.of(record.wd)
        if record.name != SELF or directory is None:
            return record
        if directory.parent is None or directory.parent.wd is None:
            return record._replace(name=b"")
        return record._replace(wd=directory.parent.wd, name=directory.name)

    def _look_again(self, record: Record | None) -> None:
        directory = self._view.watches.of(record.wd) if record else None
        if record and directory and not self._scanner.is_excluded((directory, record.name), is_dir=False):
            self._unseen.add((directory, record.name), time.monotonic())
