"""Watches one root by listing it every `poll_every_s`: for network file systems, where no kernel event comes.

Each round compares the tree with what was reported and tells the differences, renames included where they
are certain (`agent.moves`). Nothing is said that is not so, but what happened between two rounds is folded.
"""

from __future__ import annotations

import time

from agent.edits import Edits
from agent.event import Source
from agent.late import LateHashes
from agent.moves import Moves
from agent.own import OwnAccess
from agent.pace import Pace
from agent.rescan import Rescans
from agent.scan import RootGone, Scanner
from agent.session import End, Start, Stopping, Task, check_root, renew, scan_whole
from agent.unseen import Unseen
from agent.view import View

_CHECK_ROOT_S = 2.0


class PollSession:
    """One life of a poller; it has no queue, so nothing overflows."""

    lost_since_ns: int | None = None

    def __init__(self, task: Task) -> None:
        self._task = task
        hasher = task.hasher()
        self._view = View(
            task.path, task.journal, task.watches(), hasher, OwnAccess(None), release=lambda _: None
        )
        self._moves = Moves(self._view)
        edits, unseen = Edits(self._view), Unseen()
        self._late = LateHashes(self._view, edits, unseen, hasher, task.handover.wake, task.root.project)
        self._scanner = Scanner(
            self._view,
            edits,
            unseen,
            task.filter(self._view),
            watch=lambda _: None,
            early=lambda _: {},
            contested=lambda _: 0,
            pause=task.pause,
            clock=time.monotonic,
            defer=self._moves.note,
        )
        self._rescans = Rescans(task, self._view, self._scanner, told=lambda _: False)
        self._pace = Pace(task.settings.poll_every_s, time.monotonic)

    def run(self, start: Start) -> End:
        """Scan, and scan again and again, until the session ends."""
        try:
            with self._late:
                self._begin(start)
                end = self._follow()
        except Stopping:
            end = End.STOPPED
        except RootGone:
            self._view.report.open_gap("unreadable", since_ns=self._task.journal.meta.durable_ns)
            end = End.ROOT_GONE
        self._task.writing.commit()
        return end

    def _begin(self, start: Start) -> None:
        changed = self._task.former_filter(self._view) is not None
        self._moves.noting = self._task.journal.meta.complete and not changed
        scan_whole(self._task, self._view, self._scanner, start)
        self._finish(start.source)
        self._late.then(self._view.report.close_gaps)
        self._task.writing.commit()
        self._task.started(0)

    def _follow(self) -> End:
        handover = self._task.handover
        while not handover.stopping.is_set():
            handover.wake.wait(min(self._pace.wait_s(), self._late.wait_s(), _CHECK_ROOT_S))
            handover.wake.clear()
            check_root(self._view)
            self._take_wishes()
            if not self._pace.wait_s():
                self._round()
            self._late.turn()
            self._late.rest(handover.stopping.is_set, self._task.writing.commit_if_due)
            self._task.writing.commit()
        self._late.flush()
        return End.STOPPED

    def _take_wishes(self) -> None:
        """Do what the settings and whoever asks for a rescan want."""
        if renew(self._task, self._view, self._scanner):
            self._pace = Pace(self._task.settings.poll_every_s, time.monotonic)
            self._rescans.reschedule()
        for _ in self._rescans.due() or ():
            self._task.pause()

    def _round(self) -> None:
        begun_ns = time.time_ns()
        self._pace.begin()
        self._moves.noting = True
        self._scanner.compare(self._view.watches.root, "rescan")
        self._finish("rescan")
        self._pace.end()
        self._task.journal.certain_ns = begun_ns

    def _finish(self, source: Source) -> None:
        """Report what the scan held back, and how much of the tree it could read."""
        self._moves.settle(self._scanner, source)
        unwatched, directories = self._scanner.unwatched, self._view.watches.directories
        unwatched.forget_gone()
        unwatched.close_mended()
        unread = len(unwatched) - unwatched.polled()
        self._task.count_dropped(self._view, self._scanner)
        self._task.coverage.update(directories, watched=0, polled=directories - unread)
