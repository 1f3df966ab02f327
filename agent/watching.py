"""The thread of one root: session after session, whatever ends one, until the agent is to stop.

Nothing that the file system does ends this thread; a defect does, and then the process.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import structlog

from agent.baseline import ROOT_KEY
from agent.files import look
from agent.session import End, Start, Task

_log = structlog.get_logger()
_RETRY_S = 1.0
_LONGEST_RETRY_S = 30.0


class Watching(threading.Thread):
    """Runs sessions for a task until its handover says stop; `failure`: the defect that ended it, if any."""

    def __init__(self, task: Task, backend: str, first: Start, ended: Callable[[], None]) -> None:
        super().__init__(name=f"watch-{task.root.project}", daemon=True)
        self._task = task
        self._backend = backend
        self._start = first
        self._ended = ended
        self._failures = 0
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
        try:
            end, since_ns = self._run_session()
        except (OSError, sqlite3.Error) as error:
            self._failed(error)
            return
        self._failures = 0
        if end is End.OVERFLOWED:
            check = "fs.inotify.max_queued_events" if self._backend == "inotify" else None
            _log.error("overflow", project=self._task.root.project, check=check)
            self._start = Start("rescan", "overflow", since_ns)
        elif end is End.ROOT_GONE:
            self._await_root()

    def _run_session(self) -> tuple[End, int | None]:
        if self._backend == "inotify":
            from agent.kernel import KernelSession

            session = KernelSession(self._task)
            return session.run(self._start), session.lost_since_ns
        from agent.portable import PortableSession

        portable = PortableSession(self._task)
        return portable.run(self._start), portable.lost_since_ns

    def _failed(self, error: Exception) -> None:
        """Go back to the last commit and begin anew: the scan finds what was rolled back."""
        self._failures += 1
        full = isinstance(error, sqlite3.Error)
        _log.error("session_failed", project=self._task.root.project, error=str(error), retry=True)
        try:
            self._task.journal.rollback()
        except sqlite3.Error as again:
            _log.error("rollback_failed", error=str(again))
        self._start = Start("rescan", "journal_full" if full else "unreadable")
        self._task.handover.stopping.wait(min(_LONGEST_RETRY_S, _RETRY_S * 2**self._failures))

    def _await_root(self) -> None:
        _log.error("root_gone", project=self._task.root.project, dir=str(self._task.root.dir), retry=True)
        reported = self._task.journal.baseline.get(ROOT_KEY, b"") is None
        while not self._task.handover.stopping.is_set():
            state = look(self._task.path)
            if state is not None and state.is_dir:
                self._start = Start("rescan", returned=reported)
                return
            self._task.writing.commit()
            self._task.handover.stopping.wait(_RETRY_S)
