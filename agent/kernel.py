"""Watches one root through inotify, from placing the watches to the end of the session.

A session ends when it is asked to stop, when the kernel's queue overflowed, or when the root is gone;
whoever runs it begins another, and the scan with which each begins finds what was missed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import structlog

from agent import records as masks
from agent.edits import Edits
from agent.follow import Follower
from agent.hashing import Hasher
from agent.inotify import Inotify
from agent.own import OwnAccess
from agent.pairing import Move, Pairing
from agent.records import Record, parse
from agent.report import Place, When
from agent.scan import RootGone, Scanner
from agent.session import End, Start, Stopping, Task, check_root, scan_whole
from agent.settling import Settling
from agent.unseen import Unseen
from agent.view import View

_log = structlog.get_logger()

_HALF_NS = 10_000_000
"""How long half a rename is held once the queue is empty."""
_ON_REQUEST = {"access": masks.ACCESS, "open": masks.OPEN, "closeNoWrite": masks.CLOSE_NOWRITE}
_DONE = object()
_CHECK_ROOT_S = 2.0
_LOOK_AGAIN_S = 0.2


class KernelSession:
    """One life of an inotify instance; `lost_since_ns`: since when records are missing after an overflow."""

    def __init__(self, task: Task) -> None:
        self._task = task
        extra = sum(mask for kind, mask in _ON_REQUEST.items() if kind in task.settings.kinds)
        self._inotify = Inotify(task.handover.wake, extra)
        self._pairing = Pairing()
        self._settling: Settling[Place] = Settling(task.settings.settle_ms / 1000)
        self._unseen = Unseen()
        self._own = OwnAccess(self._inotify.position if extra else None)
        self._own.noting = False
        hasher = Hasher(task.settings.max_hash_bytes)
        self._view = View(task.path, task.journal, task.watches(), hasher, self._own, self._inotify.remove)
        edits = Edits(self._view)
        self._scanner = Scanner(
            self._view,
            edits,
            self._unseen,
            task.excluded(),
            watch=self._inotify.add,
            early=self._early,
            contested=self._contested,
            pause=self._pause,
            clock=time.monotonic,
        )
        self._follower = Follower(
            self._view,
            edits,
            self._scanner,
            self._settling,
            self._unseen,
            self._own,
            clock=time.monotonic,
            contested=self._contested,
            behind=lambda: self._pairing.peek() is not None,
        )
        self._scanning = True
        self._horizon: int | None = None
        """Records before this position may tell what the scan has told; None: there are none any more."""
        self._errands: deque[Iterator[object]] = deque()
        """What is done a step at a time, the first first, while no record is waiting."""
        self._read_ns = self.lost_since_ns = time.time_ns()
        self._root_checked = 0.0

    def run(self, start: Start) -> End:
        """Scan, then follow the kernel's records until the session ends."""
        with self._inotify:
            try:
                scan_whole(self._task, self._view, self._scanner, start)
                self._scanning, self._own.noting = False, True
                self._horizon = self._inotify.position()
                self._task.writing.commit()
                self._task.started(len(self._view.watches))
                end = self._follow()
            except Stopping:
                end = End.STOPPED
            except RootGone:
                self._view.report.open_gap("unreadable", since_ns=self._read_ns)
                end = End.ROOT_GONE
            self._task.writing.commit()
            return end

    def _follow(self) -> End:
        wake, stopping = self._task.handover.wake, self._task.handover.stopping
        while not stopping.is_set():
            if self._round():
                return End.OVERFLOWED
            wake.wait(self._patience_s())
            wake.clear()
        self._inotify.drain()
        if self._round():
            return End.OVERFLOWED
        self._pairing.give_up(time.time_ns())
        self._apply_ready()
        self._follower.settle(everything=True)
        return End.STOPPED

    def _round(self) -> bool:
        """Handle all that is there; True: records were lost."""
        while chunk := self._inotify.take():
            for record in parse(chunk):
                self._pairing.add(record)
            if self._apply_ready():
                return True
        if self._pairing.waiting and self._inotify.empty():
            self._pairing.give_up(time.time_ns() - _HALF_NS)
            if self._apply_ready():
                return True
        self._follower.settle()
        if not self._behind() and not self._pairing.waiting:
            self._at_rest()
        self._task.writing.commit()
        return False

    def _at_rest(self) -> None:
        self._close_gaps()
        self._own.clear()
        if self._unseen:
            self._follower.look_again()
        while self._errands and not self._behind():
            if next(self._errands[0], _DONE) is _DONE:
                self._errands.popleft()
            self._task.writing.commit_if_due()
        if time.monotonic() - self._root_checked > _CHECK_ROOT_S:
            self._root_checked = time.monotonic()
            check_root(self._view)

    def _apply_ready(self) -> bool:
        for item in self._pairing.ready():
            record = item.source or item.target if isinstance(item, Move) else item
            assert record is not None
            if record.time_ns != self._read_ns:
                self.lost_since_ns, self._read_ns = self._read_ns, record.time_ns
            if record.mask & masks.Q_OVERFLOW:
                return True
            if self._horizon is not None and record.position >= self._horizon:
                self._close_gaps()
            self._apply(item, record)
            self._task.writing.commit_if_due()
        return False

    def _apply(self, item: Record | Move, record: Record) -> None:
        try:
            if not record.name:
                self._about_itself(record)
            elif self._is_doubtful(record):
                self._follower.reconcile(item)
            elif isinstance(item, Move):
                self._follower.move(item, self._pairing)
            else:
                self._follower.apply(record)
        except OSError as error:
            self._could_not_look(record, error)

    def _is_doubtful(self, record: Record) -> bool:
        before = self._horizon is not None and record.position < self._horizon
        return before and not record.mask & masks.MODIFY

    def _about_itself(self, record: Record) -> None:
        """Handle a record that a directory's own watch gave about the directory, not about a name in it."""
        directory = self._view.watches.of(record.wd)
        if directory is None:
            return
        if directory.parent is not None:
            if record.mask & masks.IGNORED:
                self._view.watches.unbind(directory)
            if record.mask & masks.UNMOUNT:
                self._unseen.add((directory.parent, directory.name), time.monotonic())
        elif record.mask & masks.ATTRIB and self._horizon is None:
            self._follower.attributes_of_root(record)
        elif record.mask & (masks.DELETE_SELF | masks.MOVE_SELF):
            moved = bool(record.mask & masks.MOVE_SELF)
            self._view.lose_root(When(record.time_ns), moved=moved)
            raise RootGone
        elif record.mask & (masks.UNMOUNT | masks.IGNORED):
            raise RootGone

    def _could_not_look(self, record: Record, error: OSError) -> None:
        directory = self._view.watches.of(record.wd)
        _log.error("unreadable", project=self._task.root.project, error=error.strerror)
        if directory is not None:
            self._view.report.gap("unreadable", directory)

    def _close_gaps(self) -> None:
        """Past the records that the scan may have told already, the scan is complete."""
        if self._horizon is not None:
            self._horizon = None
            self._view.report.close_gaps()

    def _early(self, wd: int | None) -> dict[bytes, int]:
        """Return the first record of each name that is there for a watch by now."""
        if wd is None or self._scanning:
            return {}
        self._inotify.drain()
        first: dict[bytes, int] = {}
        while chunk := self._inotify.take():
            for record in parse(chunk):
                self._pairing.add(record)
                if record.wd == wd and record.name:
                    first.setdefault(record.name, record.mask)
        return first

    def _contested(self, place: Place) -> int:
        """Return the next record by which a name may have changed hands by now; 0: none."""
        wd = place[0].wd
        if wd is None or self._scanning:
            return 0
        self._early(wd)
        return self._pairing.coming(wd, place[1])

    def _behind(self) -> bool:
        return self._pairing.peek() is not None or not self._inotify.empty()

    def _pause(self) -> None:
        if self._scanning:
            self._task.pause()
        else:
            self._task.writing.commit_if_due()

    def _patience_s(self) -> float:
        if self._pairing.waiting:
            return _HALF_NS / 1e9
        if self._errands:
            return 0.0
        patience = _LOOK_AGAIN_S if self._unseen else _CHECK_ROOT_S
        deadline = self._settling.deadline()
        return patience if deadline is None else max(0.0, min(patience, deadline - time.monotonic()))
