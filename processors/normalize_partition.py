"""One partition of `fswire.raw` while this worker owns it: recovered, then decided chunk by chunk.

The order of a chunk: outputs acknowledged, then state, then outcomes and the commit, then the state in
memory. A chunk that was not acknowledged is made again, from the same records over the same state.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.event import Batch
from agent.kafka import KafkaSettings
from agent.log import Throughput
from processors import metrics, producers, topics
from processors.backlog import Backlog, OffsetsExpired
from processors.chunk import Chunk, RawRecord
from processors.commits import NONE_COMMITTED_S, Commits, SessionLost
from processors.decode import Refusal, decode
from processors.file_store import FileStore
from processors.keeper import Keeper
from processors.loss import loss
from processors.moves import carry_out, complete
from processors.producers import Connect
from processors.projects import Projects
from processors.publisher import Publisher
from processors.record_batch import Record
from processors.recovery import Start, find_start, load, load_files, reading, surely_committed
from processors.settings import ProcessorsSettings
from processors.state import Draft, State
from processors.triggers import Triggers

_DAY_MS = 86_400_000
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_LOG_EVERY = 15
"""Of this many failures in a row one is logged."""
_STORE_AGE_S = topics.TOMBSTONES_KEPT_S * 3 / 4
"""A local store that was not written for longer is read again: deletions may be gone from its topic."""

_log = structlog.get_logger()
Result = TypeVar("Result")


@dataclass(frozen=True)
class Links:
    """What the partitions of a worker share."""

    kafka: KafkaSettings
    settings: ProcessorsSettings
    consumer: AIOKafkaConsumer
    publisher: Publisher
    commits: Commits
    projects: Projects
    triggers: Triggers
    throughput: Throughput
    connect: Connect = producers.connect


class Partition:
    """Owns the state of one partition from its assignment to its revocation."""

    def __init__(self, raw: TopicPartition, partitions: int, links: Links) -> None:
        settings = links.settings
        self._raw = raw
        self._partitions = partitions
        self._links = links
        self._state = State(
            settings.event_id_days * _DAY_MS, settings.agent_days * _DAY_MS, settings.event_ids
        )
        self.backlog = Backlog(links.consumer, raw, max_bytes=settings.backlog_bytes)
        self._store = FileStore(_directory(settings.data_dir, raw), _STORE_AGE_S)
        self._keeper = Keeper(links.kafka, settings.group, raw.partition, self._commit_again, links.connect)
        self._offset = 0
        self._proven = time.monotonic()
        self._stopping = False
        self._busy = asyncio.Lock()
        self._proving = asyncio.Lock()

    async def run(self) -> None:
        """Recover, then decide whatever the backlog holds, until stopped. Raises SessionLost."""
        try:
            await self._run()
        finally:
            self._store.close()
            await self._keeper.close()

    async def _run(self) -> None:
        await self._insist("opening the local store", self._open)
        start = await self._insist("recovery", self._recover)
        if start.lost:
            await self._insist("announcing a loss", lambda: self._announce_loss(start))
        self._offset = start.offset
        await self._insist("re-keying files", self._carry_out_moves)
        self._links.consumer.seek(self._raw, start.offset)
        self._links.consumer.resume(self._raw)
        while not self._stopping:
            try:
                chunk = await self.backlog.chunk(self._links.settings.chunk_events)
            except OffsetsExpired as expired:
                await self._skip(expired.offset)
                continue
            async with self._busy:
                if self._stopping:
                    return
                await self._insist("a chunk", lambda chunk=chunk: self._attempt(chunk))  # type: ignore[misc]
                await self._insist("re-keying files", self._carry_out_moves)

    async def stop(self, grace_s: float) -> bool:
        """Begin no more chunks; return whether the one under way ended within the grace."""
        self._stopping = True
        try:
            async with asyncio.timeout(grace_s), self._busy:
                return True
        except TimeoutError:
            return False

    async def _open(self) -> None:
        self._store.open()

    async def _recover(self) -> Start:
        links, raw = self._links, self._raw
        kept = TopicPartition(links.kafka.topic(topics.STATE), raw.partition)
        committed = await self._committed(kept)
        began = time.monotonic()
        await self._keeper.claim()
        async with reading(links.kafka) as consumer:
            committed = await surely_committed(consumer, kept, committed)
            start = await find_start(consumer, raw, committed)
            await load(consumer, kept, self._state, start.offset)
            kept = TopicPartition(links.kafka.topic(topics.FILES), raw.partition)
            undone = await load_files(consumer, kept, self._store, start.offset)
        self._offset = start.offset if start.committed is None else start.committed
        await self._commit_again()
        await self._keeper.files(undone)
        await self._keeper.state(self._state.corrections(start.offset))
        _log.info(
            "partition recovered",
            partition=raw.partition,
            offset=start.offset,
            agents=len(self._state.marks.values),
            event_ids=len(self._state.ids.values),
            seconds=round(time.monotonic() - began, 3),
        )
        return start

    async def _committed(self, kept: TopicPartition) -> int | None:
        """Return the committed offset; `kept` is the partition of the state.

        A broker that has just started says for some 50 ms that there is none: where there is state already,
        that is believed only when it is said again and again.
        """
        consumer = self._links.consumer
        for delay_s in NONE_COMMITTED_S:
            committed: int | None = await consumer.committed(self._raw)
            if committed is not None or not (await consumer.end_offsets([kept]))[kept]:
                return committed
            await asyncio.sleep(delay_s)
        return None

    async def _skip(self, offset: int) -> None:
        """Go on at the oldest record that is held, after what was to be read is gone."""

        async def attempt() -> Start:
            async with reading(self._links.kafka) as consumer:
                start = await find_start(consumer, self._raw, offset)
            if start.lost:
                await self._announce_loss(start)
            return start

        start = await self._insist("announcing a loss", attempt)
        self._offset = start.offset
        self._links.consumer.seek(self._raw, start.offset)
        self._links.consumer.resume(self._raw)

    async def _announce_loss(self, start: Start) -> None:
        """Publish a gap for every project known here, and commit to going on behind the loss."""
        partition, projects = self._raw.partition, sorted(self._state.projects())
        _log.error(
            "raw records are gone before they were read; gaps are published, their events are lost",
            partition=partition,
            committed=start.committed,
            oldest=start.oldest,
            projects=len(projects),
            check="retention of the raw topic, and why no worker read it for so long",
        )
        outputs = loss(projects, partition, start, self._links.triggers)
        await self._links.publisher.publish(outputs, partition)
        await self._links.commits.commit(self._raw, start.offset)

    async def _attempt(self, groups: list[list[RawRecord]]) -> None:
        links, began = self._links, time.monotonic()
        chunk = await self._make(groups)
        last = groups[-1][-1]
        after = last.offset + 1
        producer = links.publisher.producer
        try:
            await asyncio.gather(
                links.publisher.publish(chunk.outputs, self._raw.partition),
                self._keeper.state(chunk.draft.offset(self._offset, after)),
                self._prove(),
            )
            kept = await self._keep(chunk.draft, last)
            await asyncio.gather(
                links.publisher.answer(chunk.outputs.outcomes), links.commits.commit(self._raw, after)
            )
        except (KafkaError, SessionLost):
            metrics.REDONE.inc()
            await links.publisher.replace(producer)
            raise
        self._proven = time.monotonic()
        self._offset = after
        chunk.draft.apply()
        self._store.write(((key, entry) for key, entry, _, _ in chunk.draft.tree.changes()), kept)
        self._state.forget(last.timestamp_ms)
        self._count(chunk, last.timestamp_ms, began)

    async def _make(self, groups: list[list[RawRecord]]) -> Chunk:
        """Decide on the records; one that cannot be processed at all is parked, and the chunk begun again."""
        spoiled: dict[int, Refusal] = {}
        while True:
            draft = Draft(self._state, self._store)
            chunk = Chunk(self._raw.topic, self._raw.partition, draft, triggers=self._links.triggers)
            for group in groups:
                if not await self._decide(chunk, group, spoiled):
                    break
                await asyncio.sleep(0)
            else:
                return chunk

    async def _decide(self, chunk: Chunk, group: list[RawRecord], spoiled: dict[int, Refusal]) -> bool:
        """Let a chunk take records; False: one of them is `spoiled` now, by its offset.

        Their events live no longer than this, so that they are read while the processor's caches have them.
        """
        decoded = [(record, spoiled.get(record.offset) or self._decoded(record)) for record in group]
        projects = {batch.project for _, batch in decoded if isinstance(batch, Batch)}
        chunk.refused = await self._links.projects.refused(projects)
        chunk.expect(decoded)
        for record, batch in decoded:
            try:
                chunk.take(record, batch)
            except Exception as error:  # noqa: BLE001  whatever it is, it is this record alone
                _log.exception("a record could not be processed", offset=record.offset)
                detail = f"could not be processed: {type(error).__name__}"
                spoiled[record.offset] = Refusal("bad_event", detail)
                return False
        return True

    def _decoded(self, record: RawRecord) -> Batch | Refusal:
        return decode(record.value, self._raw.partition, self._partitions)

    async def _keep(self, draft: Draft, last: RawRecord) -> int | None:
        """Write the chunk's state; returns the next offset of the files."""
        forgotten = self._state.forgotten()
        offset, _ = await asyncio.gather(
            self._keeper.files(draft.files(self._offset, last.timestamp_ms)),
            self._keeper.state([*forgotten, *draft.records()]),
        )
        self._state.wrote(forgotten)
        return offset

    async def _carry_out_moves(self) -> None:
        async def append(records: list[Record]) -> int | None:
            await self._prove()
            return await self._keeper.files(records)

        pending = list(self._state.moves.values.values())
        for nth, move in enumerate(pending):
            await carry_out(pending[nth:], self._store, append)
            if nth == len(pending) - 1:
                await append([complete(move, self._store, self._offset)])
            await self._keeper.state([self._state.done(move)])
            self._state.moves.values.pop(move.name)

    async def _prove(self) -> None:
        """Make sure that the partition is still ours where that was not shown for a while.

        The coordinator takes a commit from the owner alone: a worker that was frozen, or cut off from it,
        ends here. What it was about to write before that the keeper's fence refuses.
        """
        if time.monotonic() - self._proven > self._links.settings.session_timeout_ms / 2000:
            await self._commit_again()

    async def _commit_again(self) -> None:
        async with self._proving:
            await self._links.commits.commit(self._raw, self._offset)

    def _count(self, chunk: Chunk, now_ms: int, began: float) -> None:
        self._links.throughput.add(chunk.events)
        metrics.EVENTS.inc(chunk.events)
        metrics.REPEATS.inc(chunk.repeats)
        metrics.CHUNK_SECONDS.observe(time.monotonic() - began)
        held = metrics.EVENT_ID_HORIZON_SECONDS.labels(str(self._raw.partition))
        held.set(self._state.held_ms(now_ms) / 1000)
        if letters := len(chunk.outputs.dead_letters):
            metrics.DEAD_LETTERS.inc(letters)
            _log.warning("parked in dead-letters", letters=letters, partition=self._raw.partition)

    async def _insist(self, what: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try until it succeeds, with back-off; SessionLost ends it."""
        for tries, delay_s in enumerate(itertools.chain(_BACK_OFF_S, itertools.repeat(_BACK_OFF_S[-1]))):
            try:
                return await attempt()
            except (KafkaError, TimeoutError, OSError) as error:
                if self._stopping:
                    raise SessionLost(f"stopped during {what}") from error
                if tries % _LOG_EVERY == 0:
                    _log.warning(
                        "the broker did not take it, trying again",
                        what=what,
                        partition=self._raw.partition,
                        error=repr(error),
                    )
                await asyncio.sleep(delay_s)
        raise AssertionError("unreachable")


def _directory(data_dir: Path, raw: TopicPartition) -> Path:
    return data_dir / "files" / f"{raw.topic}-{raw.partition}"
