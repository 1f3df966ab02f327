"""Reads one partition of a normalised topic and offers each record, once, to the seats that it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from agent.kafka import MAX_RECORD_BYTES, KafkaSettings
from api.live_index import Index, Interest
from api.live_position import Mark
from api.live_record import Record, reach
from api.live_subscription import Delivery, Seat
from processors.position import Position as Src

_POLL_MS = 1_000
_PATIENT_POLL_MS = 100
_FETCH_WAIT_MS = 100
_POLL_RECORDS = 500
"""Some 10 ms, for which other tasks wait."""
_BACK_OFF_S = 1.0
_LOOK_S = 0.01

_log = structlog.get_logger()


class Reader:
    """A consumer of its own, outside any group. `patient`: reads the past, a full queue is no fault.

    At most `at_once` records are offered before subscribers have their turn: who takes what it is offered is
    not cut off, however much happens at one time.
    """

    def __init__(
        self, kafka: KafkaSettings, vocabulary: str, partition: int, *, at_once: int, patient: bool
    ) -> None:
        self._vocabulary = vocabulary
        self._partition = TopicPartition(kafka.topic(vocabulary), partition)
        self._patient = patient
        self._at_once = min(at_once, _POLL_RECORDS)
        self._consumer = AIOKafkaConsumer(
            **kafka.client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=2 * MAX_RECORD_BYTES,
            # a request for the end offset waits behind the fetch that is under way
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        self.index: Index[Seat] = Index()
        self.seats: set[Seat] = set()
        self.mark = Mark(0)
        """Everything below was offered."""
        self.repeats = 0
        """Records that were left out: what they say was read before."""

    async def open(self) -> tuple[int, int]:
        """Connect; return the first offset that is held and the one to be given next. Raises KafkaError."""
        await self._consumer.start()
        self._consumer.assign([self._partition])
        return await self._held()

    def go_to(self, mark: Mark) -> None:
        """Read on from a mark."""
        self.mark = mark
        self._consumer.seek(self._partition, mark.offset)

    async def close(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    def seat(self, seat: Seat) -> None:
        """Serve a seat from what is read next on."""
        seat.reader = self
        self.seats.add(seat)
        for interest in seat.interests:
            self.index.add(interest, seat)

    def unseat(self, seat: Seat) -> None:
        """Serve it no longer; its mark says up to where it was."""
        seat.mark = seat.reached
        seat.reader = None
        self.seats.discard(seat)
        for interest in seat.interests:
            self.index.remove(interest, seat)

    async def poll(self) -> None:
        """Offer what there is next; wait a moment where there is nothing."""
        try:
            wait_ms = _PATIENT_POLL_MS if self._patient else _POLL_MS
            polled = await self._consumer.getmany(
                self._partition, timeout_ms=wait_ms, max_records=self._at_once
            )
        except OffsetOutOfRangeError:
            await self._lose()
            return
        except KafkaError as error:
            _log.warning(
                "a topic cannot be read, trying again", topic=self._partition.topic, error=repr(error)
            )
            await asyncio.sleep(_BACK_OFF_S)
            return
        for record in polled.get(self._partition, ()):
            self._take(record)
        if not polled:
            self.mark = self.mark._replace(offset=await self._consumer.position(self._partition))
        await asyncio.sleep(0)

    async def caught_up(self) -> None:
        """Wait until all that is written by now has been offered. KafkaError where the broker cannot tell."""
        _, end = await self._held()
        while self.mark.offset < end:  # noqa: ASYNC110 - asked seldom
            await asyncio.sleep(_LOOK_S)

    async def _held(self) -> tuple[int, int]:
        first = await self._consumer.beginning_offsets([self._partition])
        end = await self._consumer.end_offsets([self._partition])
        return first[self._partition], end[self._partition]

    async def _lose(self) -> None:
        """Go on with the oldest that is held: what was to come next is gone."""
        first, _ = await self._held()
        _log.warning("records are gone before they were read", topic=self._partition.topic, offset=first)
        mark = Mark(first)
        for seat in list(self.seats):
            self.tell_expired(seat, mark)
        self.go_to(mark)

    def tell_expired(self, seat: Seat, mark: Mark) -> None:
        """Tell a seat that nothing below the mark is held any more."""
        seat.mark = mark
        seat.subscription.put(Delivery(None, tuple(seat.interests), self._partition.partition, mark))

    def _take(self, read: ConsumerRecord[bytes, bytes]) -> None:
        headers = dict(read.headers)
        src = _src(headers)
        if src is None:
            _log.warning("a record without its place", topic=read.topic, offset=read.offset)
        elif src > self.mark.src:
            mark = Mark(read.offset + 1, src)
            self._offer_all(read, headers, mark)
            self.mark = mark
            return
        else:
            self.repeats += 1
        self.mark = Mark(read.offset + 1, self.mark.src)

    def _offer_all(self, read: ConsumerRecord[bytes, bytes], headers: dict[str, bytes], mark: Mark) -> None:
        if not self.seats:
            return
        value, project = read.value or b"", (read.key or b"").decode(errors="replace")
        try:
            about = reach(self._vocabulary, project, value)
        except msgspec.MsgspecError:
            _log.warning("a record is not readable", topic=read.topic, offset=read.offset)
            return
        matched = self.index.match(about.paths, below=about.below)
        if not matched:
            return
        record = Record(value, headers, project, read.partition, mark, about)
        for seat, interests in matched.items():
            if mark.src <= seat.mark.src:
                continue
            self._offer(seat, Delivery(record, tuple(interests), read.partition, mark))
            if about.moved is not None:
                _follow(seat, interests, *about.moved)

    def _offer(self, seat: Seat, delivery: Delivery) -> None:
        if seat.subscription.offer(delivery):
            return
        if self._patient:
            self.unseat(seat)
        else:
            _log.warning("a subscriber does not keep up and is cut off", topic=self._partition.topic)
            seat.subscription.cut()


def _follow(seat: Seat, interests: Iterable[Interest], old: str, new: str) -> None:
    for interest in interests:
        path = followed(interest.path, old.encode(), new.encode()) if interest.follows else None
        if path is not None:
            seat.remove(interest)
            seat.add(msgspec.structs.replace(interest, path=path))


def followed(path: bytes, old: bytes, new: bytes) -> bytes | None:
    """Return where a path is once the directory `old` is called `new`; None: it is not in it."""
    if path == old or path.startswith(old + b"/"):
        return new + path[len(old) :]
    return None


def _src(headers: dict[str, bytes]) -> Src | None:
    try:
        return Src.parse(headers["src"])
    except (KeyError, ValueError):
        return None
