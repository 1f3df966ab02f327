"""Compares the tree with what was reported while events go on being told: nothing lost, nothing told twice.

The steps are errands of a session, done while no record is waiting. A known entry that looks different is
doubtful: what happened to it may be on its way. It is looked at a second time after the records that had come
by then; if it still is different, and neither a record nor an open file nor a hash is about to tell of it,
that is a difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from agent.baseline import Known
from agent.event import Kind
from agent.files import State
from agent.filters import IGNORE_FILE
from agent.pace import Pace
from agent.pairing import Move
from agent.records import CLOSE_WRITE, STRUCTURE, Record
from agent.report import Place
from agent.scan import Scanner
from agent.session import Task
from agent.view import View
from agent.watches import Directory

_log = structlog.get_logger()
_NEW_CONTENT = CLOSE_WRITE | STRUCTURE
_MOST_LOOKS = 100
"""So often a directory that records go on to speak of is looked at; then it is left to the next rescan."""


class Rescans:
    """The rescans of one session; `told`: whether a record, or whatever waits, will tell of a place."""

    def __init__(self, task: Task, view: View, scanner: Scanner, told: Callable[[Place], bool]) -> None:
        self._task = task
        self._view = view
        self._scanner = scanner
        self._told = told
        self._running = False
        self.reschedule()

    def reschedule(self) -> None:
        """Take the interval from the settings as they are now."""
        self._pace = Pace(self._task.settings.rescan_every_s or float("inf"), time.monotonic)

    def wait_s(self) -> float:
        """Return how long it is until the next one is due."""
        return self._pace.wait_s()

    def due(self) -> Iterator[None] | None:
        """Return a rescan of the whole tree, in steps, if one was asked for or its time has come."""
        asked = self._task.handover.rescans
        if self._running or not (asked or not self._pace.wait_s()):
            return None
        reasons = {asked.popleft() for _ in range(len(asked))} or {"rescan_every_s"}
        self._running = True
        return self._whole(sorted(reasons))

    def caused_by(self, item: Record | Move) -> Iterator[Iterator[None]]:
        """Yield the rescans that follow from what was just reported: it may make paths visible, or hide them.

        That is so for an ignore file, and for the rename of a directory.
        """
        ends = (item.source, item.target) if isinstance(item, Move) else (item,)
        for end in ends:
            directory = self._view.watches.of(end.wd) if end else None
            if end and directory and self._is_ignore_file(end):
                self._scanner.filter.forget(directory)
                yield self._below(directory, "baseline")
        if isinstance(item, Move) and item.source and item.target:
            directory = self._view.watches.of(item.target.wd)
            child = directory.children.get(item.target.name) if directory else None
            if child is not None:
                yield self._below(child, "rename")

    def _is_ignore_file(self, record: Record) -> bool:
        is_new = record.name == IGNORE_FILE and record.mask & _NEW_CONTENT
        return bool(is_new) and self._scanner.filter.reads_files

    def _below(self, top: Directory, kind: Kind) -> Iterator[None]:
        for _ in _Comparison(self._scanner, self._told).steps(top, kind):
            yield

    def _whole(self, why: list[str]) -> Iterator[None]:
        began, reported = time.monotonic(), self._view.report.sent
        self._pace.begin()
        directories = differences = 0
        for directory in _Comparison(self._scanner, self._told).steps(self._view.watches.root, "create"):
            directories += directory is not None
            differences += self._view.report.sent - reported
            yield
            reported = self._view.report.sent
        self._task.completed(self._scanner)
        self._pace.end()
        self._running = False
        _log.info(
            "rescanned",
            project=self._task.root.project,
            why=why,
            directories=directories,
            differences=differences + self._view.report.sent - reported,
            seconds=round(time.monotonic() - began, 3),
        )


class _Comparison:
    def __init__(self, scanner: Scanner, told: Callable[[Place], bool]) -> None:
        self._scanner = scanner
        self._told = told
        self._doubtful: list[Place] = []
        self._pending: list[Iterator[Directory]] = []

    def steps(self, top: Directory, kind: Kind) -> Iterator[Directory | None]:
        """Compare all below a directory; the session handles what has come between two steps.

        Yields each directory that was visited, None after a second look at what was doubtful.
        """
        self._pending = [self._scanner.steps(top, "rescan", kind=kind)]
        while self._pending:
            with self._scanner.doubting(self._put_off):
                directory = next(self._pending[-1], None)
            if directory is None:
                self._pending.pop()
                continue
            yield directory
            for _ in range(_MOST_LOOKS):
                if not self._doubtful:
                    break
                self._look_again(kind)
                yield None
            self._doubtful.clear()

    def _put_off(self, place: Place, known: Known, state: State | None) -> bool:
        if _is_as_known(known, state):
            return False
        self._doubtful.append(place)
        return True

    def _look_again(self, kind: Kind) -> None:
        places, self._doubtful = self._doubtful, []
        for place in places:
            if place[0].gone:
                continue
            with self._scanner.doubting(self._leave):
                child = self._scanner.look_again(place, "rescan")
            if child is not None:
                self._pending.append(self._scanner.steps(child, "rescan", kind=kind))

    def _leave(self, place: Place, known: Known, state: State | None) -> bool:
        """Leave an entry to what is to tell of it; a directory is to be entered after that."""
        if not (_is_unfinished(known, state) or self._told(place)):
            return False
        if known.is_dir:
            self._doubtful.append(place)
        return True


def _is_as_known(known: Known, state: State | None) -> bool:
    """Tell whether nothing can have happened to an entry: every change of a file changes its ctime."""
    old = known.state
    if old is None or state is None:
        return False
    return (old.identity, old.ctime_ns) == (state.identity, state.ctime_ns)


def _is_unfinished(known: Known, state: State | None) -> bool:
    """Tell whether the closeWrite of a file is still to come, and nothing was written since it was told."""
    old = known.state
    if old is None or state is None or old.ctime_ns or known.is_dir:
        return False
    return (old.identity, old.size, old.mtime_ns) == (state.identity, state.size, state.mtime_ns)
