"""The file monitor's sequencer in this process, where one of its producers fails for good."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agent.event import Reply
from agent.kafka import KafkaSettings
from processors import outcomes, topics, transfer_commands
from processors.settings import ProcessorsSettings
from processors.transfer_commands import Create, Fields
from processors.transfer_sequencer import Sequencer
from tests.integration.normalizing import make_topics

pytestmark = pytest.mark.stack

MOMENT = "2026-11-21T08:00:00.000000Z"
AWAIT_S = 60


@pytest.mark.parametrize("failed", ["answers", "transfers"])
def test_producer_that_failed_for_good_is_replaced(kafka: KafkaSettings, failed: str) -> None:
    """Commands go on being decided and answered, each once, whichever producer it is."""
    own = make_topics(kafka)

    async def run() -> list[int]:
        sequencer = Sequencer(own, ProcessorsSettings())
        await sequencer.start()
        try:
            first = await asked(own, "first")
            producer = sequencer._publisher.producer if failed == "answers" else sequencer._producer
            assert producer is not None
            await producer.stop()  # whatever it is given from now on, it raises
            return [first, await asked(own, "second"), await asked(own, "third")]
        finally:
            await sequencer.stop()

    assert asyncio.run(run()) == [1, 2, 3]


async def asked(own: KafkaSettings, name: str) -> int:
    """Ask for a new transfer and return its id, once it is told."""
    command = Create(command=name, at=MOMENT, reply=Reply(name, 0), fields=Fields(status="Complete"))
    told = TopicPartition(own.topic(topics.OUTCOMES), 0)
    async with AIOKafkaConsumer(**own.client()) as consumer, AIOKafkaProducer(**own.producer()) as producer:
        consumer.assign([told])
        await consumer.seek_to_beginning(told)
        await producer.send_and_wait(
            own.topic(topics.TRANSFER_COMMANDS), transfer_commands.encode(command), partition=0
        )
        async with asyncio.timeout(AWAIT_S):
            async for record in consumer:
                outcome = outcomes.decode(record.value)
                if outcome.id == name and outcome.transfer is not None:
                    assert outcome.transfer.id is not None
                    return outcome.transfer.id
    raise AssertionError("unreachable")
