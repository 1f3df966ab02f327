"""Watches one root through watchfiles, where inotify is not or by choice.

watchfiles tells which paths changed lately, in no order, without saying what happened: each is looked at
again and compared with what was known. Nothing is said that is not so, but operations between two looks are
folded into one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import structlog
from watchfiles import Change, watch

from agent.edits import Edits
from agent.filters import IGNORE_FILE
from agent.late import LateHashes
from agent.own import OwnAccess
from agent.pace import Pace
from agent.report import Place
from agent.rescan import Rescans
from agent.scan import RootGone, Scanner
from agent.session import End, Start, Stopping, Task, check_root, renew, scan_whole
from agent.unseen import Unseen
from agent.view import View

_log = structlog.get_logger()
_DEBOUNCE_MS = 50
_STEP_MS = 10
_IDLE_MS = 200
_IN_FLIGHT = 64
"""Hashes are taken once per `_IDLE_MS`."""


class PortableSession:
    """One life of a watchfiles watcher; `lost_since_ns`: since when it may have told too little."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.lost_since_ns: int | None = None
        self._pace = Pace(task.settings.poll_every_s, time.monotonic)
        watches = itertools.count(1)
        hasher = task.hasher()
        self._view = View(
            task.path, task.journal, task.watches(), hasher, OwnAccess(None), release=lambda _: None
        )
        edits, unseen = Edits(self._view), Unseen()
        self._late = LateHashes(
            self._view, edits, unseen, hasher, task.handover.wake, task.root.project, in_flight=_IN_FLIGHT
        )
        self._scanner = Scanner(
            self._view,
            edits,
            unseen,
            task.filter(self._view),
            watch=lambda _: next(watches),  # it watches all below the root by itself
            early=lambda _: {},
            contested=lambda _: 0,
            pause=task.pause,
            clock=time.monotonic,
        )
        self._rescans = Rescans(task, self._view, self._scanner, told=lambda _: False)

    def run(self, start: Start) -> End:
        """Scan, then look at what is said to have changed until the session ends."""
        try:
            with self._late:
                end = self._follow(start)
        except Stopping:
            end = End.STOPPED
        except (RootGone, FileNotFoundError):
            self._view.report.open_gap("unreadable", since_ns=self._task.journal.meta.durable_ns)
            end = End.ROOT_GONE
        self._task.writing.commit()
        return end

    def _follow(self, start: Start) -> End:
        changes = self._changes()
        try:
            next(changes)  # the watcher is in place before the scan begins
            scan_whole(self._task, self._view, self._scanner, start)
            self._late.then(self._view.report.close_gaps)
            self._task.writing.commit()
            self._measure()
            self._task.started(len(self._view.watches))
            for paths in changes:
                self._handle(paths)
            self._late.flush()
        except RuntimeError as error:  # WatchfilesRustInternalError
            return self._failed(error)
        return End.STOPPED

    def _failed(self, error: RuntimeError) -> End:
        """A name that is no UTF-8 fails again at each look that a scan takes; anything else may pass."""
        if self._view.watches.root.identity is not None:
            check_root(self._view)
        unfit = "decode" in str(error)
        _log.warning("watchfiles_failed", project=self._task.root.project, error=str(error), retry=not unfit)
        self.lost_since_ns = self._task.journal.meta.durable_ns
        return End.UNFIT if unfit else End.OVERFLOWED

    def _changes(self) -> Iterator[set[tuple[Change, str]]]:
        return watch(
            os.fsdecode(self._task.path),
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._task.handover.stopping,
            rust_timeout=_IDLE_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )

    def _handle(self, changed: set[tuple[Change, str]]) -> None:
        check_root(self._view)
        if renew(self._task, self._view, self._scanner):
            self._pace = Pace(self._task.settings.poll_every_s, time.monotonic)
            self._rescans.reschedule()
        for _ in self._rescans.due() or ():
            self._task.pause()
        for path in sorted({os.fsencode(path) for _, path in changed}):
            place = self._place(path)
            if place is not None:
                self._look(place)
        if not self._pace.wait_s():
            self._poll()
        self._scanner.unwatched.close_mended()
        self._late.turn()
        self._late.rest(self._task.handover.stopping.is_set, self._task.writing.commit_if_due)
        self._task.writing.commit()

    def _poll(self) -> None:
        """Look at the directories that could not be read, or that send no events."""
        self._pace.begin()
        for _ in self._scanner.unwatched.poll(self._scanner.revisit):
            self._task.pause()
        self._pace.end()
        self._measure()

    def _measure(self) -> None:
        self._task.count_dropped(self._view, self._scanner)
        watches = self._view.watches
        self._task.coverage.update(
            watches.directories, watched=len(watches), polled=self._scanner.unwatched.polled()
        )

    def _look(self, place: Place) -> None:
        if place[1] == IGNORE_FILE and self._scanner.filter.reads_files:
            self._scanner.compare(place[0], "rescan", kind="baseline")
        self._scanner.reconcile(place, "rescan")
        child = place[0].children.get(place[1])
        if child is not None:  # it tells of a new directory, and not always of what was put into it at once
            self._scanner.compare(child, "rescan", deep=False)

    def _place(self, path: bytes) -> Place | None:
        """Return the place of a path, or of the first directory on the way there that is not known yet."""
        names = os.path.relpath(path, self._task.path).split(b"/")
        if names[0] in (b".", b".."):
            return None
        directory = self._view.watches.root
        for name in names[:-1]:
            child = directory.children.get(name)
            if child is None:
                return directory, name
            directory = child
        return directory, names[-1]
