"""One partition of one topic for all of its subscribers: its end read once, its past where it is asked for.

A seat without a past is served by the live reader. One that resumes waits for the next catching up: a reader
of its own from the oldest mark of those that wait together, until it has come to where the live one is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings
from api.live_position import Mark
from api.live_reader import Reader
from api.live_subscription import Seat

LOOK_BACK_RECORDS = 2_000
"""The longest chunk of the normalizer: so far back a record may lie that is repeated behind the end."""
FAR_BACK_RECORDS = 20_000
"""The same where the end has repeats already: a worker died, perhaps again and again in one chunk."""
CATCHING_UP = 4
"""Readers of the past at one time; more that resume wait for the next."""
LINGER_S = 5.0
"""A partition that nobody wants any more is followed for this long."""
_ROOM_S = 1.0
"""How long a reader of the past waits for room in queues that are all crowded."""
_BACK_OFF_S = 1.0

_log = structlog.get_logger()


class Feed:
    """The readers of one partition; there are none while nobody subscribes."""

    def __init__(self, kafka: KafkaSettings, vocabulary: str, partition: int, *, at_once: int) -> None:
        self._kafka = kafka
        self._vocabulary = vocabulary
        self._at_once = at_once
        self.partition = partition
        self._live: Reader | None = None
        self._starting: asyncio.Task[Reader] | None = None
        self._following: asyncio.Task[None] | None = None
        self._catching_up: set[asyncio.Task[None]] = set()
        self._seats: set[Seat] = set()
        self._waiting: set[Seat] = set()
        self._awaited: set[Seat] = set()
        """Taken by a catching up that is not connected yet: it must not be taken by another."""
        self._linger: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def followed(self) -> bool:
        """Tell whether the partition is read now."""
        return self._live is not None

    async def join(self, seat: Seat, mark: Mark | None) -> None:
        """Serve a seat, from a mark or from now on. Raises KafkaError where the topic cannot be read."""
        self._seats.add(seat)
        try:
            live = await self._followed()
        except BaseException:
            self.leave(seat)
            raise
        if seat not in self._seats:
            return
        if mark is None or mark == live.mark:
            seat.mark = live.mark
            live.seat(seat)
        else:
            seat.mark = mark
            self.wait(seat)

    def wait(self, seat: Seat) -> None:
        """Have a seat without a reader served from its mark on, in its turn."""
        if self._may_wait(seat):
            self._waiting.add(seat)
            self._catch_up_next()

    def _may_wait(self, seat: Seat) -> bool:
        unserved = seat.reader is None and seat not in self._awaited
        return unserved and seat in self._seats and not seat.subscription.crowded

    def leave(self, seat: Seat) -> None:
        """Serve a seat no longer."""
        self._seats.discard(seat)
        self._waiting.discard(seat)
        if seat.reader is not None:
            seat.reader.unseat(seat)
        if not self._seats and self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._stop)

    async def close(self) -> None:
        """Stop every reader."""
        self._seats.clear()
        self._stop()
        if self._stopping:
            await asyncio.wait(self._stopping)

    async def _followed(self) -> Reader:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._starting is None or (self._starting.done() and self._live is None):
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> Reader:
        reader = self._reader(patient=False)
        try:
            first, end = await reader.open()
            for look_back in (LOOK_BACK_RECORDS, FAR_BACK_RECORDS):
                start = max(first, end - look_back)
                reader.go_to(Mark(start))
                while reader.mark.offset < end:
                    await reader.poll()
                if not reader.repeats or start == first:
                    break
        except BaseException:
            await reader.close()
            raise
        self._live = reader
        self._following = asyncio.create_task(_follow(reader))
        self._following.add_done_callback(_tell)
        return reader

    def _reader(self, *, patient: bool) -> Reader:
        return Reader(self._kafka, self._vocabulary, self.partition, at_once=self._at_once, patient=patient)

    def _stop(self) -> None:
        self._linger = None
        if self._seats:
            return
        stopping = asyncio.create_task(
            _stopped(self._starting, self._following, self._live, list(self._catching_up))
        )
        self._live, self._starting, self._following = None, None, None
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    def _catch_up_next(self) -> None:
        if self._waiting and len(self._catching_up) < CATCHING_UP:
            seats, self._waiting = self._waiting, set()
            self._awaited |= seats
            task = asyncio.create_task(self._catch_up(seats))
            self._catching_up.add(task)
            task.add_done_callback(self._caught_up)

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching_up.discard(task)
        _tell(task)
        self._catch_up_next()

    async def _catch_up(self, seats: set[Seat]) -> None:
        reader, connected = self._reader(patient=True), False
        try:
            first, end = await reader.open()
            connected = True
            # From here on one may leave this reader, and another may await it: not this one's to say.
            self._awaited -= seats
            _seat_all(reader, seats & self._seats, first, end)
            await self._read_up_to_live(reader)
        except (KafkaError, OSError) as error:
            _log.warning("the past of a topic cannot be read, trying again", error=repr(error))
            await asyncio.sleep(_BACK_OFF_S)
        finally:
            if not connected:
                self._awaited -= seats
            for seat in list(reader.seats):
                reader.unseat(seat)
            await reader.close()
        self._waiting |= set(filter(self._may_wait, seats))

    async def _read_up_to_live(self, reader: Reader) -> None:
        while reader.seats:
            await _room(reader)
            await reader.poll()
            live = self._live
            if live is not None and reader.mark.offset >= live.mark.offset:
                _hand_over(reader, live)
                return


def _seat_all(reader: Reader, seats: Iterable[Seat], first: int, end: int) -> None:
    """Seat those that resume, and stand at the oldest of their marks; one beyond what is held is told."""
    for seat in seats:
        reader.seat(seat)
        if not first <= seat.mark.offset <= end:
            reader.tell_expired(seat, Mark(first))
    if reader.seats:
        reader.go_to(min((seat.mark for seat in reader.seats), key=lambda mark: mark.offset))


def _hand_over(reader: Reader, live: Reader) -> None:
    """Move the seats that have room to the live reader; the others wait until they have."""
    for seat in list(reader.seats):
        reader.unseat(seat)
        if not seat.subscription.crowded:
            live.seat(seat)


async def _room(reader: Reader) -> None:
    """Wait while no seat has room; give those up that have none for long: they come back by themselves."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _ROOM_S
    while reader.seats and all(seat.subscription.crowded for seat in reader.seats):
        if loop.time() > until:
            for seat in list(reader.seats):
                reader.unseat(seat)
        await asyncio.sleep(0.01)


async def _follow(reader: Reader) -> None:
    try:
        while True:
            await reader.poll()
    finally:
        # Whatever ended it: nobody is left waiting for what no longer comes.
        for seat in list(reader.seats):
            seat.subscription.cut()


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("a topic is no longer followed", error=repr(task.exception()))


async def _stopped(
    starting: asyncio.Task[Reader] | None,
    following: asyncio.Task[None] | None,
    live: Reader | None,
    catching_up: list[asyncio.Task[None]],
) -> None:
    """Readers of the past end by themselves, for they have no seats left."""
    for task in (starting, following):
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
    if live is not None:
        await live.close()
    await asyncio.gather(*catching_up, return_exceptions=True)
