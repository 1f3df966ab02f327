"""Events per second through one normalizer, beside a plain Faust application doing the same work."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from agent.kafka import KafkaSettings
from deploy import ports
from processors import registry, topics, topics_apply
from tests.benchmarks import plain_faust
from tests.benchmarks.history import batches
from tests.benchmarks.parts import fswire, kafka, process
from tests.benchmarks.table import show
from tests.benchmarks.topic_load import PARTITIONS, create, fill, rate

PROJECTS = [f"benchmark-{number}" for number in range(40)]
"""Enough that their hashes spread over the partitions, as a fleet's do."""
BATCHED = 600_000
SINGLE = 120_000
PLAIN = 20_000


def run(directory: Path) -> None:
    """Measure all of them in one run, one after the other, and print the table."""
    with kafka(directory) as settings:
        asyncio.run(prepare(settings))
        hasty = _plain(settings, directory, "hasty.", awaits=False)
        plain = _plain(settings, directory, "plain.", awaits=True)
        batched = _normalizer(settings, directory, "batched.", BATCHED, 500)
        single = _normalizer(settings, directory, "single.", SINGLE, 1)
    show(
        "normalizer: raw events/s per worker, all outputs; fswire with dedupe of deliveries",
        ("who", "events/s", "times plain", "times hasty"),
        [
            (name, rate, rate / plain, rate / hasty)
            for name, rate in (
                ("plain Faust, an event a message, awaits its sends", plain),
                ("hasty Faust, the same without awaiting", hasty),
                ("fswire, batches of 500", batched),
                ("fswire, records of one event", single),
            )
        ],
    )


async def prepare(settings: KafkaSettings) -> None:
    """Make the topics of every run, and register the projects in each."""
    for prefix in ("plain.", "hasty."):
        await create(settings, prefix + plain_faust.SINGLES)
        await create(settings, *(prefix + name for name in plain_faust.VOCABULARIES))
    for prefix in ("batched.", "single."):
        own = settings.model_copy(update={"topic_prefix": prefix})
        await topics_apply.apply(own, PARTITIONS, 1)
        await registry.write(own, *(registry.Project(id=name, created_ns=0) for name in PROJECTS))


def load(events: int, size: int) -> list[tuple[str, bytes]]:
    """Return `events` events of all projects in batches of `size`, projects taking turns."""
    each = [batches(project, f"agent-{project}", events // len(PROJECTS), size) for project in PROJECTS]
    return [
        (project, value)
        for turn in zip(*each, strict=True)
        for project, value in zip(PROJECTS, turn, strict=True)
    ]


def _plain(settings: KafkaSettings, directory: Path, prefix: str, *, awaits: bool) -> float:
    own = settings.model_copy(update={"topic_prefix": prefix})
    asyncio.run(fill(own, own.topic(plain_faust.SINGLES), load(PLAIN, 1)))
    env = {
        "PLAIN_WEB_PORT": str(ports.pick(set())),
        "PLAIN_AWAITS": str(int(awaits)),
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": prefix,
        "PYTHONPATH": str(Path.cwd()),
    }
    command = [sys.executable, "-m", "tests.benchmarks.plain_faust"]
    with process(command, directory, {**os.environ, **env}, started="Starting", name=prefix):
        return asyncio.run(rate(own, own.topic(topics.NOTIFY), PLAIN, 120))


def _normalizer(settings: KafkaSettings, directory: Path, prefix: str, events: int, size: int) -> float:
    own = settings.model_copy(update={"topic_prefix": prefix})
    asyncio.run(fill(own, own.topic(topics.RAW), load(events, size)))
    env = {
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": prefix,
        "FSWIRE_PROCESSORS_WEB_PORT": str(ports.pick(set())),
        "FSWIRE_PROCESSORS_DATA_DIR": str(directory / f"faust-{prefix}"),
    }
    with fswire("processors", directory / prefix, env, started="{"):
        return asyncio.run(rate(own, own.topic(topics.NOTIFY), events, 180))
