"""One lane a project: events in, batches out in the same order, numbered consecutively, one at a time.

While a batch is under way the lane fills; what has gathered leaves together. So one request alone waits for
nobody, and many share a batch.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from agent.event import MAX_BATCH_BYTES, VERSION, Batch, Event, Previous, encode
from api.errors import BodyTooLarge
from api.waiting import SendFailed

MAX_BATCH_EVENTS = 500

Send = Callable[[str, bytes], Awaitable[None]]
"""Takes a project and an encoded batch; returns once the broker acknowledged it, raises if it did not."""

_log = structlog.get_logger()


class Entry:
    """An event on its way; `wanted` tells whether anybody still waits for it, `fail` ends that wait."""

    __slots__ = ("event", "fail", "host", "wanted")

    def __init__(
        self, event: Event, host: str, *, wanted: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        self.event = event
        self.host = host
        self.wanted = wanted
        self.fail = fail


class _Lane:
    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.task: asyncio.Task[None] | None = None
        self.epoch = secrets.token_hex(8)
        self.next_seq = 1
        self.previous: Previous | None = None

    def rotate(self) -> None:
        """Begin a new epoch: what became of the numbers that were sent last is not known."""
        self.previous = Previous(self.epoch, self.next_seq - 1) if self.next_seq > 1 else self.previous
        self.epoch = secrets.token_hex(8)
        self.next_seq = 1

    def take(self) -> list[Entry]:
        """Return the entries at the front that may share a batch: of one host, none that nobody awaits."""
        taken: list[Entry] = []
        while self.entries and len(taken) < MAX_BATCH_EVENTS:
            if not self.entries[0].wanted():
                self.entries.popleft()
            elif taken and self.entries[0].host != taken[0].host:
                break
            else:
                taken.append(self.entries.popleft())
        return taken


class Lanes:
    """Publishes events as the agent `agent`; the epochs are this process's own."""

    def __init__(self, agent: str, send: Send, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._agent = agent
        self._send = send
        self._clock_ns = clock_ns
        self._lanes: dict[str, _Lane] = {}

    def add(self, project: str, entry: Entry) -> None:
        """Queue an event of a project behind those that came before it."""
        lane = self._lanes.get(project)
        if lane is None:
            lane = self._lanes[project] = _Lane()
        lane.entries.append(entry)
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(project, lane))

    async def close(self) -> None:
        """Wait until every lane is empty."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, project: str, lane: _Lane) -> None:
        try:
            while entries := lane.take():
                await self._send_batch(project, lane, entries)
        finally:
            lane.task = None

    async def _send_batch(self, project: str, lane: _Lane, entries: list[Entry]) -> None:
        encoded = self._encode(project, lane, entries)
        while len(encoded) > MAX_BATCH_BYTES and len(entries) > 1:
            half = len(entries) // 2
            lane.entries.extendleft(reversed(entries[half:]))
            entries = entries[:half]
            encoded = self._encode(project, lane, entries)
        if len(encoded) > MAX_BATCH_BYTES:
            entries[0].fail(BodyTooLarge(f"the event must fit into {MAX_BATCH_BYTES} bytes"))
            return
        try:
            await self._send(project, encoded)
        except Exception as error:  # noqa: BLE001  whatever was raised, the events are not acknowledged
            _log.error(
                "events were not acknowledged", events=len(entries), project=project, error=repr(error)
            )
            lane.rotate()
            for entry in entries:
                entry.fail(SendFailed())
        else:
            lane.next_seq += len(entries)
            lane.previous = None

    def _encode(self, project: str, lane: _Lane, entries: list[Entry]) -> bytes:
        return encode(
            Batch(
                v=VERSION,
                project=project,
                host=entries[0].host,
                sent_ns=self._clock_ns(),
                agent=self._agent,
                epoch=lane.epoch,
                first_seq=lane.next_seq,
                previous=lane.previous,
                events=[entry.event for entry in entries],
            )
        )
