"""From one root to the broker: its journal, the thread that fills it, and the publisher that empties it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from types import TracebackType

import msgspec
import structlog

from agent import devices
from agent.event import Status
from agent.files import State
from agent.handover import Handover
from agent.hash_rate import HashRate
from agent.health import RootHealth
from agent.heartbeat import Pulse
from agent.identity import machine_id
from agent.journal import Made, open_journal
from agent.lock import exclusive
from agent.log import Throughput
from agent.metrics import EVENTS, forget
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
        hash_rate: HashRate,
    ) -> None:
        self._settings = settings
        self._root = root
        self._state = state
        self.backend = backend
        self._send = send
        self._throughput = throughput
        self._where = where
        self._hash_rate = hash_rate
        self._stack = contextlib.ExitStack()
        self.watched = asyncio.Event()
        """Set when the first scan is done."""
        self.ended = asyncio.Event()
        """Set when the watching thread has ended."""
        self.watches = 0
        self._counted_seq = 0
        """Up to this number events of the open epoch are in the metrics."""
        self._stopping = False
        self._telling = False

    def __enter__(self) -> Line:
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        forget(self._root.project)

    @property
    def root(self) -> RootSettings:
        """Return what is watched."""
        return self._root

    def start(self, failed: Callable[[], None]) -> None:
        """Begin to watch and to publish; `failed` is called if either ends without having been asked to."""
        self._publishing = asyncio.create_task(self.publisher.run())
        self._ending = asyncio.create_task(self.ended.wait())
        for task in (self._publishing, self._ending):
            task.add_done_callback(lambda _: None if self._stopping else failed())
        self.watching.start()

    def change(self, settings: AgentSettings, root: RootSettings) -> None:
        """Go on with other settings, from the next record on; directory and project are the same."""
        self._settings, self._root = settings, root
        self._handover.change(settings, root)

    def ask_rescan(self, why: str) -> None:
        """Have the whole tree compared with what was reported."""
        self._handover.ask_rescan(why)

    async def stop(self, grace_s: float) -> None:
        """Take in what has happened, publish it for as long as the grace lasts, and keep the rest."""
        self._stopping = True
        self._handover.stop()
        await self.ended.wait()
        self.publisher.drain()
        await asyncio.wait([self._publishing], timeout=grace_s)
        self._publishing.cancel()
        await asyncio.gather(self._publishing, return_exceptions=True)
        self._task.writing.finish()

    def failure(self) -> BaseException | None:
        """Return the defect that ended this line, None if it was stopped."""
        published = self._publishing.done() and not self._publishing.cancelled()
        return self.watching.failure or (self._publishing.exception() if published else None)

    def unpublished(self) -> int:
        """Return the number of events that wait for the next start."""
        return self._outbox.depth(self._handover.acknowledged)

    def health(self) -> RootHealth:
        """Return how this root is doing, and bring its gauges up to date."""
        trouble = self._handover.trouble
        try:
            status = self._pulse.status()
        except (sqlite3.Error, OSError) as error:
            status, trouble = Status(), trouble or f"the journal cannot be read: {error}"
        away_s = round(self.publisher.away_s(), 1)
        known = msgspec.structs.asdict(status)
        name = bytes(self._root.dir).decode(errors="replace")
        return RootHealth(self._root.project, name, known, trouble, away_s)

    def _open(self, stack: contextlib.ExitStack) -> None:
        directory = self._settings.state_dir / self._root.project
        stack.enter_context(exclusive(directory))
        path = directory / "journal.db"
        found = self._state
        name = devices.name_at(bytes(self._root.dir), found.device)
        made = Made(machine_id(), found.device, found.inode, found.birth_ns, name)
        journal, damaged = open_journal(path, made, self._settings.journal_max_bytes)
        stack.enter_context(journal)
        if damaged is not None:
            _log.error("journal_damaged", project=self._root.project, kept=str(damaged))
        self._outbox = stack.enter_context(Outbox(path, self._root.project, self._settings.host))
        self._handover = Handover()
        self._task = Task(
            self._settings,
            self._root,
            journal,
            self._handover,
            self._on_watched,
            self._hash_rate,
            may_change_backend=self._settings.backend == "auto",
        )
        self._pulse = Pulse(self._root.project, self._outbox, self._handover, self._task.coverage)
        self.publisher = Publisher(
            self._outbox,
            self._handover,
            self._send,
            self._throughput,
            project=self._root.project,
            where=self._where,
            heartbeat_s=self._settings.heartbeat_s,
            status=self._pulse.status,
        )
        first = Start("startup", journal.first_gap())
        self._loop = asyncio.get_running_loop()
        self._handover.committed = self._on_committed
        self.watching = Watching(self._task, self.backend, first, lambda: self._on_loop(self.ended.set))

    def _on_committed(self) -> None:
        """Count what was committed, and wake the publisher; called on the watching thread.

        Once for all commits until it is awake: a loop that is busy has room for few wake-ups, and a signal
        needs one.
        """
        last_seq = self._task.journal.last_seq
        EVENTS.labels(self._root.project).inc(last_seq - min(self._counted_seq, last_seq))
        self._counted_seq = last_seq
        if not self._telling:
            self._telling = True
            self._on_loop(self._tell)

    def _on_watched(self, watches: int) -> None:
        self.watches = watches
        self._on_loop(self.watched.set)

    def _tell(self) -> None:
        self._telling = False
        self.publisher.tell()

    def _on_loop(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)
