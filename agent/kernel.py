"""Watches one root through inotify, from placing the watches to the end of the session.

A session ends when it is asked to stop, when the kernel's queue overflowed, or when the root is gone;
whoever runs it begins another, and the scan with which each begins finds what was missed.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Iterator

import structlog

from agent import kinds
from agent import records as masks
from agent.actors import new_actors
from agent.arrivals import Arrivals
from agent.backends import FALLBACK, instead_of
from agent.departures import Departures
from agent.edits import Edits
from agent.follow import Follower
from agent.inotify import Inotify
from agent.late import LateHashes
from agent.own import OwnAccess
from agent.pace import Pace
from agent.pairing import Move, Pairing
from agent.records import Record, parse
from agent.refresh import refresh_watches
from agent.report import Place, When
from agent.rescan import Rescans
from agent.root_check import RootCheck
from agent.scan import RootGone, Scanner
from agent.session import End, Start, Stopping, Task, Unfit, renew, scan_whole
from agent.settling import Settling
from agent.source import Source
from agent.unseen import Unseen
from agent.view import View
from agent.who import Who

_log = structlog.get_logger()

_HALF_NS = 10_000_000
"""How long half a rename is held once the queue is empty."""
_ON_REQUEST = {"access": masks.ACCESS, "open": masks.OPEN, "closeNoWrite": masks.CLOSE_NOWRITE}
_DONE = object()
_LOOK_AGAIN_S = 0.2
_NAP_S = 0.001
"""Records that come together are told together: a round costs as much as ten records."""
_RECORDS_AT_A_TIME = 8
"""Between two looks at what else is due: less than a millisecond."""
_ERRANDS_S = 0.05
"""How long errands run at a stretch: then open files, and a wish to stop, are looked at."""


class KernelSession:
    """One life of an inotify instance; `lost_since_ns`: since when records are missing after an overflow."""

    _scanner_class = Scanner

    def __init__(self, task: Task) -> None:
        self._task = task
        extra = self._asked_for()
        self._inotify = self._new_source(extra)
        self._pairing = Pairing()
        self._settling: Settling[Place] = Settling(task.settings.settle_ms / 1000)
        self._unseen = Unseen()
        self._own = OwnAccess(self._inotify.position if extra else None)
        self._own.noting = False
        self._who: Who = self._new_who(extra)
        hasher = task.hasher()
        self._view = View(task.path, task.journal, task.watches(), hasher, self._own, self._release)
        edits = Edits(self._view)
        self._arrivals = Arrivals(self._view, self._pairing)
        self._scanner = self._scanner_class(
            self._view,
            edits,
            self._unseen,
            task.filter(self._view),
            watch=self._watch,
            early=self._early,
            contested=self._contested,
            pause=self._pause,
            clock=time.monotonic,
            made_by=self._who.of_new,
            defer=self._arrivals.note,
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
            who=self._who,
            arrived=self._arrivals.take,
            ahead=Departures(self._view, self._pairing, self._contested).destination,
            moving=lambda: self._pairing.directories > 0,
            happened=lambda: self._inotify.read_bytes,
        )
        self._late = LateHashes(
            self._view,
            edits,
            self._unseen,
            hasher,
            task.handover.wake,
            task.root.project,
            is_open=self._settling.__contains__,
        )
        self._scanning = True
        self._horizon: int | None = None
        """Records before this position may tell what the scan has told; None: there are none any more."""
        self._rescans = Rescans(task, self._view, self._scanner, self._is_being_told)
        self._errands: deque[Iterator[object]] = deque()
        """What is done a step at a time, the first first, while no record is waiting."""
        self._pace = Pace(task.settings.poll_every_s, time.monotonic)
        self._read_ns = self.lost_since_ns = time.time_ns()
        self._since_ns: dict[int, int] = {}
        """Of each read that is not handled yet, by its time: after which moment all of it happened."""
        self._root_check = RootCheck(self._view)
        self._done = 0

    def run(self, start: Start) -> End:
        """Scan, then follow the kernel's records until the session ends."""
        with self._inotify, self._who, self._late:
            try:
                scan_whole(self._task, self._view, self._scanner, start)
                self._scanning, self._own.noting = False, True
                self._horizon = self._inotify.position()
                self._task.writing.commit()
                self._measure()
                self._task.started(len(self._view.watches))
                end = self._follow()
            except Stopping:
                end = End.STOPPED
            except Unfit:
                end = End.UNFIT
            except RootGone:
                self._view.report.open_gap("unreadable", since_ns=self._read_ns)
                end = End.ROOT_GONE
            self._task.writing.commit()
            self._task.count_dropped(self._view, self._scanner)
            return end

    def _follow(self) -> End:
        wake, stopping = self._task.handover.wake, self._task.handover.stopping
        while not stopping.is_set():
            if self._round():
                return End.OVERFLOWED
            if wake.wait(self._patience_s()):
                time.sleep(_NAP_S)
            wake.clear()
        self._inotify.drain()
        if self._round():
            return End.OVERFLOWED
        self._pairing.give_up(time.time_ns())
        self._apply_ready()
        self._arrive()
        self._follower.settle(everything=True)
        self._late.flush()
        return End.STOPPED

    def _round(self) -> bool:
        """Handle all that is there; True: records were lost."""
        if renew(self._task, self._view, self._scanner):
            self._reload()
        begun_ns = time.time_ns()
        while chunk := self._inotify.take():
            self._since_ns[chunk.time_ns] = chunk.since_ns
            for record in parse(chunk):
                self._pairing.add(record)
            if self._apply_ready():
                return True
        if self._apply_ready():  # what was drained by looking ahead, at rest
            return True
        if self._pairing.waiting and self._inotify.empty():
            self._pairing.give_up(time.time_ns() - _HALF_NS)
            if self._apply_ready():
                return True
        self._follower.settle()
        self._late.turn()
        if not self._behind() and not self._pairing.waiting:
            self._task.journal.certain_ns = begun_ns
            self._since_ns.clear()
            self._at_rest()
        self._task.writing.commit_soon()
        return False

    def _at_rest(self) -> None:
        self._close_gaps()
        self._own.clear()
        self._arrive()
        if self._unseen:
            self._follower.look_again()
        self._late.rest(self._is_wanted, self._pause)
        if rescan := self._rescans.due():
            self._errands.append(rescan)
        until = time.monotonic() + _ERRANDS_S
        while self._errands and not self._behind() and time.monotonic() < until:
            if next(self._errands[0], _DONE) is _DONE:
                self._errands.popleft()
            self._task.writing.commit_if_due()
        if not self._errands:
            self._scanner.unwatched.close_mended()
            if self._scanner.unwatched and not self._pace.wait_s():
                self._errands.append(self._poll())
        if self._root_check.turn():
            self._measure()

    def _arrive(self) -> None:
        """Report what a scan has left to a record that has not come."""
        for place in self._arrivals.rest():
            self._scanner.reconcile(place, "rescan")

    def _poll(self) -> Iterator[object]:
        """Look at the directories that have no watch, and try to give each one."""
        self._pace.begin()
        yield from self._scanner.unwatched.poll(self._scanner.revisit)
        self._pace.end()
        self._measure()

    def _measure(self) -> None:
        watches = self._view.watches
        self._task.coverage.update(
            watches.directories, watched=len(watches), polled=self._scanner.unwatched.polled()
        )
        self._task.count_dropped(self._view, self._scanner)

    def _asked_for(self) -> int:
        """Return the mask of the kinds that are reported on request only."""
        reported = kinds.reported(self._task.settings, self._task.root)
        return sum(mask for kind, mask in _ON_REQUEST.items() if kind in reported)

    def _reload(self) -> None:
        """Go on with other settings, between two records."""
        settings = self._task.settings
        self._settling.resize(settings.settle_ms / 1000)
        self._pace = Pace(settings.poll_every_s, time.monotonic)
        self._rescans.reschedule()
        extra = self._asked_for()
        self._own.follow(self._inotify.position if extra else None)
        if self._inotify.ask_for(extra):
            self._errands.append(refresh_watches(self._inotify, self._view))

    def _is_being_told(self, place: Place) -> bool:
        """Tell whether a record that is waiting, an open file or a hash will tell of a place."""
        if place in self._settling or place in self._view.hashes.waits:
            return True
        wd = place[0].wd
        self._early(wd)
        return wd is not None and self._pairing.mentions(wd, place[1])

    def _apply_ready(self) -> bool:
        for item in self._pairing.ready():
            record = item.source or item.target if isinstance(item, Move) else item
            assert record is not None
            if record.time_ns != self._read_ns:
                self._read_ns = record.time_ns
                self.lost_since_ns = self._since_ns.pop(record.time_ns, self.lost_since_ns)
                self._task.journal.certain_ns = self.lost_since_ns
            if record.mask & masks.Q_OVERFLOW:
                return True
            if self._horizon is not None and record.position >= self._horizon:
                self._close_gaps()
            self._apply(item, record)
            self._done += 1
            if not self._done % _RECORDS_AT_A_TIME:
                self._late.turn_if_due()
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
            if self._scanner.filter.depends_on_place:
                self._errands.extend(self._rescans.caused_by(item))
        except OSError as error:
            self._could_not_look(record, error)

    def _is_doubtful(self, record: Record) -> bool:
        before = self._horizon is not None and record.position < self._horizon
        return before and record.mask != masks.MODIFY

    def _about_itself(self, record: Record) -> None:
        """Handle a record that a directory's own watch gave about the directory, not about a name in it."""
        directory = self._view.watches.of(record.wd)
        if directory is None:
            return
        if directory.parent is not None:
            if record.mask & masks.IGNORED:
                self._view.watches.unbind(directory)
                self._who.forget(record.wd)
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
            self._scanner.refuse(directory, error)

    def _close_gaps(self) -> None:
        """Past the records that the scan may have told already, it is complete once its hashes are there."""
        if self._horizon is not None:
            self._horizon = None
            self._late.then(self._view.report.close_gaps)

    def _early(self, wd: int | None) -> dict[bytes, int]:
        """Return the first record of each name that is there for a watch by now."""
        if wd is None or self._scanning:
            return {}
        self._inotify.drain()
        first: dict[bytes, int] = {}
        while chunk := self._inotify.take():
            self._since_ns[chunk.time_ns] = chunk.since_ns
            for record in parse(chunk):
                self._pairing.add(record)
                if record.wd == wd and record.name:
                    first.setdefault(record.name, record.mask)
        return first

    def _new_source(self, extra: int) -> Source:
        return Inotify(self._task.handover.wake, extra)

    def _new_who(self, extra: int) -> Who:
        wanted = self._task.settings.actors
        return new_actors(self._task.path, extra, self._inotify.position, self._child, wanted=wanted)

    def _watch(self, path: bytes) -> int:
        try:
            return self._who.watch(path, self._inotify.add)
        except OSError as error:
            out_of_watches = error.errno == errno.ENOSPC and self._task.may_change_backend
            if out_of_watches and instead_of("inotify", self._task.path) != FALLBACK:
                raise Unfit from error
            raise

    def _release(self, wd: int) -> None:
        self._inotify.remove(wd)
        self._who.forget(wd)

    def _child(self, wd: int, name: bytes) -> int | None:
        """Return the watch of the directory by a name in a watched one."""
        directory = self._view.watches.of(wd)
        child = directory.children.get(name) if directory else None
        return child.wd if child else None

    def _contested(self, place: Place) -> int:
        """Return the next record by which a name may have changed hands by now; 0: none."""
        wd = place[0].wd
        if wd is None or self._scanning:
            return 0
        self._early(wd)
        return self._pairing.coming(wd, place[1])

    def _behind(self) -> bool:
        return self._pairing.peek() is not None or not self._inotify.empty()

    def _is_wanted(self) -> bool:
        return self._behind() or self._task.handover.stopping.is_set()

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
        patience = min(self._root_check.wait_s(), self._rescans.wait_s())
        if self._unseen:
            patience = min(patience, _LOOK_AGAIN_S)
        if self._scanner.unwatched:
            patience = min(patience, self._pace.wait_s())
        patience = min(patience, self._late.wait_s(), self._task.writing.wait_s())
        deadline = self._settling.deadline()
        return patience if deadline is None else max(0.0, min(patience, deadline - time.monotonic()))
