"""The thread of one root: session after session, whatever ends one, until the agent is to stop.

Nothing that the file system or the disk does ends this thread; a defect does, and then the process. A loss is
announced before anything else, and mended by the scan with which the next session begins. While the journal
is full there is no session: what the kernel would tell then is in the gap.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import structlog

from agent.backends import BACKENDS, instead_of, new_session
from agent.backoff import Backoff
from agent.baseline import ROOT_KEY
from agent.damage import JournalCorrupt, is_damage
from agent.event import GapReason
from agent.files import look
from agent.journal import JournalFull
from agent.report import Reporter
from agent.session import End, Start, Task, announce

_log = structlog.get_logger()
_RETRY_S = 1.0
"""How often a root that is gone is looked for, and a full disk asked for space."""
_CHECK_ROOM = "the broker, the disk's space, journal_max_bytes"
_TROUBLE = {"journal_full": "the journal is full", "overflow": "more happened than the kernel kept"}
"""Of the reasons of a gap, in the words of `/health`; cleared by the scan that mends it."""


class Watching(threading.Thread):
    """Runs sessions for a task until its handover says stop; `failure`: the defect that ended it, if any."""

    def __init__(self, task: Task, backend: str, first: Start, ended: Callable[[], None]) -> None:
        super().__init__(name=f"watch-{task.root.project}", daemon=True)
        self._task = task
        self._backend = backend
        self._start = first
        self._ended = ended
        self._backoff = Backoff()
        self._well_since = float("inf")
        """When the last scan was done."""
        self._told = task.started
        task.started = self._scanned
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Watch until the handover says stop."""
        try:
            while not self._task.handover.stopping.is_set():
                self._one_session()
        except BaseException as error:  # noqa: BLE001 - the process must end with it, not this thread alone
            self.failure = error
        self._ended()

    def _one_session(self) -> None:
        self._well_since = float("inf")
        try:
            self._after(*self._run_session())
        except (OSError, sqlite3.Error, JournalFull, JournalCorrupt) as error:
            self._failed(error)

    def _run_session(self) -> tuple[End, int | None]:
        self._task.renew()
        session = new_session(self._backend, self._task)
        return session.run(self._start), session.lost_since_ns

    def _after(self, end: End, since_ns: int | None) -> None:
        if end is End.OVERFLOWED:
            check = BACKENDS[self._backend].queue_setting
            _log.error("overflow", project=self._task.root.project, check=check)
            self._lose("overflow", since_ns)
        elif end is End.UNFIT:
            former, self._backend = self._backend, instead_of(self._backend, self._task.path)
            _log.warning("backend", project=self._task.root.project, backend=self._backend, instead=former)
            self._lose("watch_limit" if former == "inotify" else "overflow", since_ns)
        elif end is End.ROOT_GONE:
            self._await_root()

    def _failed(self, error: Exception) -> None:
        try:
            self._recover(error)
        except (OSError, sqlite3.Error, JournalCorrupt) as again:
            _log.error("recovery_failed", project=self._task.root.project, error=str(again), retry=True)
            self._task.handover.stopping.wait(self._backoff.lost(0))

    def _recover(self, error: Exception) -> None:
        """Go back to the last commit and begin anew: the scan finds what was rolled back."""
        journal, project = self._task.journal, self._task.root.project
        if is_damage(error) or journal.damaged:
            kept = journal.replace()
            self._task.handover.damaged.clear()
            _log.error("journal_damaged", project=project, error=str(error), kept=str(kept))
            self._lose("identity", None)
            return
        journal.rollback()
        if isinstance(error, OSError):
            _log.error("session_failed", project=project, error=str(error), retry=True)
            self._lose("unreadable", None)
        else:
            _log.error("journal_full", project=project, error=str(error), check=_CHECK_ROOM, retry=True)
            self._freeze()

    def _freeze(self) -> None:
        """Stop reporting until the journal, and the disk, have room for a good while."""
        self._task.journal.open_reserve()
        self._lose("journal_full", None)
        while not self._task.handover.stopping.is_set() and not self._task.journal.has_room():
            self._rest(_RETRY_S)

    def _lose(self, reason: GapReason, since_ns: int | None) -> None:
        """Announce a loss, or let the scan that mends it do so; wait before that."""
        self._start = Start("rescan", reason, since_ns)
        self._task.handover.trouble = _TROUBLE.get(reason, f"{reason}; the scan that mends it is to come")
        with self._attempt():
            announce(self._task, Reporter(self._task.journal, self._task.watches()), self._start)
            self._task.writing.commit()
        self._rest(self._backoff.lost(time.monotonic() - self._well_since))

    def _rest(self, seconds: float) -> None:
        """Wait, but drop what the broker acknowledges, unless the agent is to stop."""
        handover, until = self._task.handover, time.monotonic() + seconds
        while not handover.stopping.is_set() and (left_s := until - time.monotonic()) > 0:
            handover.wake.wait(left_s)
            handover.wake.clear()
            with self._attempt():
                self._task.writing.commit()

    @contextlib.contextmanager
    def _attempt(self) -> Iterator[None]:
        """Take back what cannot be written now; it will be tried again."""
        try:
            yield
        except (sqlite3.Error, JournalFull) as error:
            if is_damage(error):
                raise
            self._task.journal.rollback()

    def _scanned(self, watches: int) -> None:
        self._well_since = time.monotonic()
        self._task.handover.trouble = None
        self._told(watches)

    def _await_root(self) -> None:
        self._task.handover.trouble = "the directory is gone"
        _log.error("root_gone", project=self._task.root.project, dir=str(self._task.root.dir), retry=True)
        reported = self._task.journal.baseline.get(ROOT_KEY, b"") is None
        self._rest(self._backoff.lost(time.monotonic() - self._well_since))
        while not self._task.handover.stopping.is_set():
            state = look(self._task.path)
            if state is not None and state.is_dir:
                self._start = Start("rescan", returned=reported)
                return
            self._rest(_RETRY_S)
