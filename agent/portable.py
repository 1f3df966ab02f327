"""Watches one root through watchfiles, where inotify is not or by choice.

watchfiles tells which paths changed lately, in no order, without saying what happened: each is looked at
again and compared with what was known. Nothing is said that is not so, but operations between two looks are
folded into one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import structlog
from watchfiles import Change, watch

from agent.edits import Edits
from agent.hashing import Hasher
from agent.own import OwnAccess
from agent.report import Place
from agent.scan import RootGone, Scanner
from agent.session import End, Start, Stopping, Task, check_root, scan_whole
from agent.unseen import Unseen
from agent.view import View

_log = structlog.get_logger()
_DEBOUNCE_MS = 50
_STEP_MS = 10
_IDLE_MS = 200


class PortableSession:
    """One life of a watchfiles watcher; `lost_since_ns`: since when it may have told too little."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.lost_since_ns: int | None = None
        hasher = Hasher(task.settings.max_hash_bytes)
        self._view = View(
            task.path, task.journal, task.watches(), hasher, OwnAccess(None), release=lambda _: None
        )
        self._scanner = Scanner(
            self._view,
            Edits(self._view),
            Unseen(),
            task.excluded(),
            watch=lambda _: None,
            early=lambda _: {},
            contested=lambda _: 0,
            pause=task.pause,
            clock=lambda: 0.0,
        )

    def run(self, start: Start) -> End:
        """Scan, then look at what is said to have changed until the session ends."""
        try:
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
        next(changes)  # the watcher is in place before the scan begins
        scan_whole(self._task, self._view, self._scanner, start)
        self._view.report.close_gaps()
        self._task.writing.commit()
        self._task.started(0)
        while True:
            try:
                paths = next(changes, None)
            except RuntimeError as error:  # WatchfilesRustInternalError: a name that is no UTF-8, most often
                check_root(self._view)
                _log.warning(
                    "watchfiles_failed", project=self._task.root.project, error=str(error), retry=True
                )
                self.lost_since_ns = self._task.journal.meta.durable_ns
                return End.OVERFLOWED
            if paths is None:
                return End.STOPPED
            self._handle(paths)

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
        )

    def _handle(self, changed: set[tuple[Change, str]]) -> None:
        check_root(self._view)
        for path in sorted({os.fsencode(path) for _, path in changed}):
            place = self._place(path)
            if place is not None:
                self._look(place)
        self._task.writing.commit()

    def _look(self, place: Place) -> None:
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
