"""The service that decides file monitor commands: one after the other, by one worker at a time.

In: `fswire.transfer-commands`. Out: `fswire.transfers`, answers on `fswire.outcomes`, and what cannot be read
on `fswire.dead-letters`. Written, then answered, then committed: whoever takes over decides again what was
not written, and answers again what was not answered. A worker that lost its place is refused by the broker
(`processors.producers`: fence).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from mode import Service

from agent.kafka import KafkaSettings
from processors import dead_letters, topics, transfer_commands
from processors.commits import NONE_COMMITTED_S
from processors.dead_letters import Parked
from processors.decode import Refusal
from processors.outcomes import Outcome
from processors.outcomes import encode as encode_outcome
from processors.outputs import Addressed
from processors.producers import abandon, connect
from processors.publisher import Publisher
from processors.recovery import reading
from processors.settings import ProcessorsSettings
from processors.transfer_commands import Command
from processors.transfer_ledger import Batch, Ledger, Read
from processors.transfer_records import OWNER_KEY, Answer, marks_of

GROUP = "transfer-sequencer"
"""Consumer group, behind the prefix of the topics."""
TOPICS = (topics.TRANSFER_COMMANDS, topics.TRANSFERS, topics.OUTCOMES, topics.DEAD_LETTERS)
_POLL_MS = 1_000
_BACK_OFF_S = 1.0
_CHUNK = 500
"""Commands decided together."""
_log = structlog.get_logger()


class Sequencer(Service):  # type: ignore[misc]
    """Runs as long as the worker does; most of the time in one worker of a fleet alone."""

    def __init__(self, kafka: KafkaSettings, settings: ProcessorsSettings, **service: Any) -> None:
        super().__init__(**service)
        self._kafka = kafka
        self._settings = settings
        self._asked = TopicPartition(kafka.topic(topics.TRANSFER_COMMANDS), 0)
        self._topic = kafka.topic(topics.TRANSFERS)
        self._publisher = Publisher(kafka)
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._ledger: Ledger | None = None
        self._owned = False
        self._rebalances = 0

    async def on_start(self) -> None:
        """Join the group; what writes is connected by whoever takes over."""
        self._consumer = self._new_consumer()
        await self._consumer.start()
        self._consumer.subscribe([self._asked.topic], listener=_Listener(self))

    async def on_stop(self) -> None:
        """Leave the group, disconnect."""
        await self._let_go()
        if self._consumer is not None:
            await self._consumer.stop()
        await self._publisher.stop()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take over, or learn that another has it; what was known may be outdated."""
        self._owned = self._asked in partitions
        self._rebalances += 1
        self._ledger = None
        if self._owned:
            self._connected().pause(self._asked)

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        while not self.should_stop:
            try:
                await self._step()
            except NoOffsetForPartitionError:
                continue  # it was given to this worker a moment ago: recovery says where to go on
            except OffsetOutOfRangeError:
                self._ledger = None
            except (KafkaError, IllegalStateError, OSError) as error:
                self._ledger = None  # what was sent may be written or not: the topic tells
                _log.warning(
                    "commands of the file monitor cannot be decided, trying again", error=repr(error)
                )
                await self.sleep(_BACK_OFF_S)
            except Exception as error:
                _log.error("the file monitor's sequencer failed", exc_info=error)
                await self.crash(error)
                raise

    async def _step(self) -> None:
        consumer = self._connected()
        if self._owned and self._ledger is None:
            rebalances = self._rebalances
            recovered = await self._recovered()
            self._ledger = recovered if rebalances == self._rebalances else None
        polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_CHUNK)
        for records in polled.values():
            commands = await self._readable(records)
            ledger = self._ledger
            if ledger is None:
                return  # given away meanwhile
            for batch in ledger.decide(commands):
                await self._write(batch)
            await consumer.commit({self._asked: records[-1].offset + 1})

    async def _readable(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> list[Read]:
        """Return the commands; what is none is parked."""
        found = [(record, transfer_commands.read(record.value)) for record in records]
        letters = [_letter(record, told) for record, told in found if isinstance(told, Refusal)]
        if letters:
            await self._publisher.park(letters)
            _log.warning("commands of the file monitor parked in dead-letters", letters=len(letters))
        return [Read(record.offset, told) for record, told in found if not isinstance(told, Refusal)]

    async def _write(self, batch: Batch) -> None:
        offset = 0
        if batch.records is not None:
            producer = self._producer
            if producer is None:
                raise RuntimeError("nothing is written before recovery")
            sent = await producer.send_batch(batch.records, self._topic, partition=0)
            offset = (await sent).offset
        await self._publisher.answer(
            [
                outcome
                for command, answer, written in batch.answers
                if (outcome := _outcome(command, answer, offset + written if written else 0)) is not None
            ]
        )

    async def _recovered(self) -> Ledger:
        """Fence earlier owners off, read what is there, and stand where it goes on.

        With producers that are new: whichever failed may have failed for good.
        """
        await self._let_go()
        await self._publisher.abandon()
        await self._publisher.start()
        self._producer = await connect(self._kafka, fence=f"{self._topic}-sequencer")
        owner = await self._producer.send_and_wait(self._topic, b"{}", OWNER_KEY, partition=0)
        ledger = await self._folded(owner.offset)
        consumer = self._connected()
        start = await self._start(ledger)
        consumer.seek(self._asked, start)
        consumer.resume(self._asked)
        _log.info("file monitor taken over", transfers=len(ledger.transfers.rows), offset=start)
        return ledger

    async def _folded(self, end: int) -> Ledger:
        ledger, kept = Ledger(), TopicPartition(self._topic, 0)
        async with reading(self._kafka) as consumer:
            consumer.assign([kept])
            consumer.seek(kept, (await consumer.beginning_offsets([kept]))[kept])
            while await consumer.position(kept) < end:
                for records in (await consumer.getmany(kept, timeout_ms=_POLL_MS)).values():
                    for record in records:
                        _fold(ledger, record)
        return ledger

    async def _start(self, ledger: Ledger) -> int:
        """Return where to go on; without a committed offset behind the last command that wrote something."""
        consumer = self._connected()
        oldest = (await consumer.beginning_offsets([self._asked]))[self._asked]
        end = (await consumer.end_offsets([self._asked]))[self._asked]
        if ledger.applied >= end:
            _log.warning("the topic of commands was made anew", topic=self._asked.topic)
            ledger.applied = -1
        committed = await consumer.committed(self._asked)
        for delay_s in NONE_COMMITTED_S if end and committed is None else ():
            await asyncio.sleep(delay_s)
            committed = await consumer.committed(self._asked)
            if committed is not None:
                break
        start = ledger.applied + 1 if committed is None else committed
        return int(min(max(start, oldest), end))

    async def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the service is not started")
        return self._consumer

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.client(),
            **self._settings.member(),
            group_id=self._kafka.topic(GROUP),
            auto_offset_reset="none",
        )


def _letter(record: ConsumerRecord[bytes, bytes], refusal: Refusal) -> Addressed:
    parked = Parked(record.topic, record.partition, record.offset, record.timestamp, record.key)
    return Addressed(dead_letters.key(parked), dead_letters.letter(parked, record.value, refusal))


def _fold(ledger: Ledger, record: Any) -> None:
    try:
        ledger.take(record.key or b"", record.value, marks_of(record.headers), record.offset)
    except ValueError as error:  # msgspec's errors and those of decoding are ValueErrors
        _log.error("a record of the transfers is not readable", offset=record.offset, error=str(error))


def _outcome(command: Command, answer: Answer, offset: int) -> Addressed | None:
    """Return the record that answers a command, None where nobody waits."""
    reply = command.reply
    if reply is None:
        return None
    told = msgspec.structs.replace(answer, offset=offset or answer.offset)
    outcome = Outcome(reply.id, "", "", "inserted", transfer=told)
    return Addressed(reply.id.encode(), encode_outcome(outcome), reply.partition)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's callbacks on."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called after every rebalance."""
        self._sequencer.assigned(assigned)

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        """Called before every rebalance."""
        self._sequencer.assigned(())
