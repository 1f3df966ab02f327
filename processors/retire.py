"""`fswire agent retire`: takes an agent out of `fswire.agents`, and so out of the metrics and the table.

In: the topic as it stands. Out: a tombstone for each project of the agent, where its heartbeats are. An agent
that still runs is there again with its next heartbeat.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agent.kafka import KafkaSettings
from processors import topics
from processors.recovery import reading

_POLL_MS = 1_000


class UnknownAgent(LookupError):
    """No agent of this id has sent a heartbeat that is still kept."""


async def retire(kafka: KafkaSettings, agent: str) -> list[str]:
    """Take an agent out and return its projects. Raises UnknownAgent, KafkaError."""
    topic = kafka.topic(topics.AGENTS)
    producer = AIOKafkaProducer(**kafka.producer())
    try:
        await producer.start()
        places = [TopicPartition(topic, number) for number in await producer.partitions_for(topic)]
        async with reading(kafka) as consumer:
            found = await _heartbeats(consumer, places, agent.encode())
        if not found:
            raise UnknownAgent(
                f"no agent {agent!r} has sent a heartbeat: the table agents has those there are"
            )
        sent = [await producer.send(topic, None, key, place.partition) for key, place in found.items()]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return sorted(key.decode().rpartition("/")[2] for key in found)


async def _heartbeats(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], agent: bytes
) -> dict[bytes, TopicPartition]:
    """Return where the heartbeats of an agent are, those that were taken out already left out."""
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    found: dict[bytes, TopicPartition] = {}
    while any([await consumer.position(place) < ends[place] for place in places]):
        for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
            for record in records:
                _note(found, place, record.key or b"", record.value, agent)
    return found


def _note(
    found: dict[bytes, TopicPartition], place: TopicPartition, key: bytes, value: bytes | None, agent: bytes
) -> None:
    if value is None:
        found.pop(key, None)
    elif key.rpartition(b"/")[0] == agent and not key.startswith(b"session/"):
        found[key] = place
