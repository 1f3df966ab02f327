"""From one root to the broker: its journal, the thread that fills it, and the publisher that empties it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType

import structlog

from agent.event import GapReason
from agent.files import State
from agent.handover import Handover
from agent.identity import machine_id
from agent.journal import Made, open_journal
from agent.lock import exclusive
from agent.log import Throughput
from agent.outbox import Outbox
from agent.publish import Publisher, Send
from agent.session import Start, Task
from agent.settings import AgentSettings, RootSettings
from agent.watching import Watching

_log = structlog.get_logger()


class Line:
    """Everything that one root needs; a context manager, entered on the event loop."""

    def __init__(
        self,
        settings: AgentSettings,
        root: RootSettings,
        state: State,
        backend: str,
        send: Send,
        throughput: Throughput | None,
        *,
        where: str,
    ) -> None:
        self._settings = settings
        self._root = root
        self._state = state
        self._backend = backend
        self._send = send
        self._throughput = throughput
        self._where = where
        self._stack = contextlib.ExitStack()
        self.watched = asyncio.Event()
        """Set when the first scan is done."""
        self.ended = asyncio.Event()
        """Set when the watching thread has ended."""
        self.watches = 0

    def __enter__(self) -> Line:
        directory = self._settings.state_dir / self._root.project
        self._stack.enter_context(exclusive(directory))
        path = directory / "journal.db"
        made = Made(machine_id(), self._state.device, self._state.inode)
        journal, damaged = open_journal(path, made)
        self._stack.enter_context(journal)
        if damaged is not None:
            _log.error("journal_damaged", project=self._root.project, kept=str(damaged))
        self._outbox = self._stack.enter_context(Outbox(path, self._root.project, self._settings.host))
        self._handover = Handover()
        self._task = Task(self._settings, self._root, journal, self._handover, self._on_watched)
        self.publisher = Publisher(
            self._outbox,
            self._handover,
            self._send,
            self._throughput,
            where=self._where,
            heartbeat_s=self._settings.heartbeat_s,
        )
        first = _first_start(known=bool(journal.meta.durable_ns), other=journal.copied or damaged is not None)
        self._loop = asyncio.get_running_loop()
        self._handover.committed = lambda: self._on_loop(self.publisher.tell)
        self.watching = Watching(self._task, self._backend, first, lambda: self._on_loop(self.ended.set))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stop_watching(self) -> None:
        """Ask the thread to take in what has happened, and to end."""
        self._handover.stop()

    def finish(self) -> None:
        """Drop what was acknowledged last; the watching thread has ended."""
        self._task.writing.commit()

    def unpublished(self) -> int:
        """Return the number of events that wait for the next start."""
        return self._outbox.events()

    def _on_watched(self, watches: int) -> None:
        self.watches = watches
        self._on_loop(self.watched.set)

    def _on_loop(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)


def _first_start(*, known: bool, other: bool) -> Start:
    reason: GapReason | None = "identity" if other else "agent_down" if known else None
    return Start("startup", reason)
