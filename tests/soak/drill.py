"""The drill: trees change, agents and the worker are killed, subscribers come and go; then all is compared.

What each subscriber was given over all its visits, joined, must be the topic exactly: nothing missing,
nothing twice, in order.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from agent.kafka import KafkaSettings
from api.live import Hub, Interest
from api.live_index import Index
from api.live_record import reach
from processors import topics
from processors.position import BEFORE_ALL, Position
from tests.integration import normalizing
from tests.integration.normalizing import PARTITIONS, Read, Worker
from tests.soak.subscribers import Given, Subscriber
from tests.soak.tree import DIRECTORIES, PATIENCE_S, Tree

PROJECTS = ("soak-one", "soak-two", "soak-three")
VOCABULARIES = (topics.NOTIFY, topics.DONUTWORK)
HUBS = 2
"""As many api processes."""
QUEUE_RECORDS = 60
"""So short that who stalls is cut off."""
KILL_S = (2.0, 6.0)
LOOK_S = 0.2


@dataclass
class Found:
    """What the drill did, and what was wrong."""

    records: int
    given: int
    visits: int
    cut_off: int
    kills: int
    faults: list[str]


def drill(kafka: KafkaSettings, directory: Path, *, subscribers: int, seconds: float, seed: int) -> Found:
    """Run it on topics of its own."""
    own = normalizing.make_topics(kafka, *PROJECTS)
    clients = [Subscriber(seed + each, _interest(seed + each)) for each in range(subscribers)]
    with _trees(own, directory, seed) as trees, normalizing.worker(own, directory) as worker:
        kills = asyncio.run(_run(own, clients, trees, worker, seconds, random.Random(seed)))
    records = {name: _records(own, name) for name in VOCABULARIES}
    return Found(
        sum(len(each) for each in records.values()),
        sum(len(client.given) for client in clients),
        sum(client.visits for client in clients),
        sum(client.cut_off for client in clients),
        kills,
        [fault for client in clients if (fault := _fault(client, records[client.interest.vocabulary]))],
    )


def _interest(seed: int) -> Interest:
    choice = random.Random(seed)
    vocabulary, project = choice.choice(VOCABULARIES), choice.choice((*PROJECTS, None))
    if project is None:
        return Interest(vocabulary, None, b"/", recursive=True)
    below = choice.choice(("", *(f"/{name}" for name in DIRECTORIES)))
    return Interest(vocabulary, project, f"/{project}{below}".encode(), choice.random() < 0.5)


@contextmanager
def _trees(kafka: KafkaSettings, directory: Path, seed: int) -> Iterator[list[Tree]]:
    trees = [Tree(kafka, directory, project, seed) for project in PROJECTS]
    try:
        for tree in trees:
            tree.start()
        yield trees
    finally:
        for tree in trees:
            tree.settle()
            tree.kill()


async def _run(
    kafka: KafkaSettings,
    clients: Sequence[Subscriber],
    trees: Sequence[Tree],
    worker: Worker,
    seconds: float,
    choice: random.Random,
) -> int:
    """Return how often something was killed, once every subscriber has come for the last time."""
    hubs = [Hub(kafka, queue_records=QUEUE_RECORDS) for _ in range(HUBS)]
    over = asyncio.Event()
    living = asyncio.gather(*(client.live(hubs, over) for client in clients))
    try:
        kills = await _kill(trees, worker, seconds, choice)
        for tree in trees:
            await asyncio.to_thread(tree.settle)
            await asyncio.to_thread(tree.finish)
        await _worked_off(kafka)
        over.set()
        await living
        ends = {name: await _ends(kafka, name) for name in VOCABULARIES}
        await asyncio.gather(*(each.finish(hubs[0], ends[each.interest.vocabulary]) for each in clients))
    finally:
        living.cancel()
        for hub in hubs:
            await hub.close()
    return kills


async def _kill(trees: Sequence[Tree], worker: Worker, seconds: float, choice: random.Random) -> int:
    """Kill agents and the worker at random moments; all run again in the end."""
    loop = asyncio.get_running_loop()
    over_at = loop.time() + seconds
    kills = 0
    while loop.time() < over_at:
        await asyncio.sleep(choice.uniform(*KILL_S))
        if choice.random() < 0.5:
            await asyncio.to_thread(choice.choice(trees).restart)
        else:
            await asyncio.to_thread(worker.end, signal.SIGKILL)
            worker.start()
        kills += 1
    return kills


async def _worked_off(kafka: KafkaSettings) -> None:
    """Return when the worker has committed all that agents have told: what comes of it is on the topics."""
    ends, group = await _ends(kafka, topics.RAW), normalizing.group_of(kafka)
    async with (
        asyncio.timeout(PATIENCE_S),
        AIOKafkaConsumer(**kafka.client(), group_id=group, enable_auto_commit=False) as consumer,
    ):
        for number, end in ends.items():
            place = TopicPartition(kafka.topic(topics.RAW), number)
            while end and await consumer.committed(place) != end:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(LOOK_S)


async def _ends(kafka: KafkaSettings, name: str) -> dict[int, int]:
    partitions = [TopicPartition(kafka.topic(name), number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(**kafka.client()) as consumer:
        ends = await consumer.end_offsets(partitions)
    return {partition.partition: end for partition, end in ends.items()}


def _records(kafka: KafkaSettings, name: str) -> list[Read]:
    """Return what a topic holds, each record once."""

    count = sum(asyncio.run(_ends(kafka, name)).values())
    return normalizing.deduplicated(normalizing.read_count(kafka, name, count))


def _fault(client: Subscriber, records: Sequence[Read]) -> str | None:
    """Say how what a subscriber was given differs from what the topic has for it."""
    index: Index[str] = Index()
    index.add(client.interest, "it")
    expected: dict[int, list[Given]] = {}
    for record in records:
        src = Position.parse(normalizing.header(record, "src"))
        began = client.began.marks.get(record.partition) if client.began is not None else None
        if began is None or src <= (began.src or BEFORE_ALL):
            continue
        about = reach(client.interest.vocabulary, (record.key or b"").decode(), record.value or b"")
        if index.match(about.paths, below=about.below):
            expected.setdefault(record.partition, []).append(
                Given(record.partition, src, record.value or b"")
            )
    given: dict[int, list[Given]] = {}
    for each in client.given:
        given.setdefault(each.partition, []).append(each)
    if given == expected:
        return None
    wrong = [part for part in expected.keys() | given.keys() if expected.get(part) != given.get(part)]
    had, wanted = given.get(wrong[0], []), expected.get(wrong[0], [])
    first = next(
        (at for at, pair in enumerate(zip(had, wanted, strict=False)) if pair[0] != pair[1]), "the end"
    )
    return f"{client.interest}: partition {wrong[0]}: {len(had)} of {len(wanted)}, other from {first} on"
