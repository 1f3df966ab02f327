"""Events per second through one normalizer with dedupe, beside two peers doing the same three outputs.

CPU is user and system time of the process: on a shared machine it says more than the clock.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from agent.kafka import KafkaSettings
from deploy import ports
from processors import registry, topics, topics_apply
from tests.benchmarks import plain_faust
from tests.benchmarks.history import batches
from tests.benchmarks.parts import cpu_s, fswire, kafka, peak_mb, process
from tests.benchmarks.table import show
from tests.benchmarks.topic_load import PARTITIONS, create, fill, rate, spread

PROJECTS = spread(10)
"""As many in each partition: the hashes of a fleet's thousands spread evenly, those of forty do not."""
MACHINES = [f"machine-{number}" for number in range(10_000)]
"""Quiet ones: each is a project of its own, and sends one event at a time."""
BATCHED = 1_000_000
BATCH = 500
SINGLE = 200_000
PLAIN = 20_000
QUIX = 120_000
QUIX_PYTHON = Path(".venv/quix/bin/python")
"""Made by `make bench`: it wants older libraries than fswire does."""


class Measured(NamedTuple):
    """What a run took; memory at its highest."""

    events_per_s: float
    cpu_us: float
    memory_mb: float


def run(directory: Path) -> None:
    """Measure all of them in one run, one after the other, and print the table."""
    with kafka(directory) as settings:
        asyncio.run(prepare(settings))
        measured = {
            "plain Faust, an event a message, awaits its sends": plain(
                settings, directory, "plain.", awaits=True
            ),
            "hasty Faust, the same without awaiting": plain(settings, directory, "hasty.", awaits=False),
            "Quix Streams, an event a message": quix(settings, directory),
            "fswire, batches of 500": normalizer(
                settings, directory, "batched.", load(PROJECTS, BATCHED, BATCH), BATCHED
            ),
            "fswire, records of one event": normalizer(
                settings, directory, "single.", load(MACHINES, SINGLE, 1), SINGLE
            ),
        }
    show(
        f"normalizer: raw events/s per worker, all outputs; fswire with dedupe, {BATCHED:,} distinct paths",
        ("who", "events/s", "times plain", "times Quix", "CPU µs/event", "memory, MB"),
        list(_rows(list(measured.items()))),
    )


def _rows(measured: list[tuple[str, Measured | None]]) -> Iterator[tuple[object, ...]]:
    plain, quix = measured[0][1], measured[2][1]
    for name, each in measured:
        if each is not None:
            times = [each.events_per_s / peer.events_per_s if peer else "–" for peer in (plain, quix)]
            yield name, each.events_per_s, *times, each.cpu_us, each.memory_mb


async def prepare(settings: KafkaSettings) -> None:
    """Make the topics of every run, and register the projects in each."""
    for prefix in ("plain.", "hasty.", "quix."):
        await create(settings, prefix + plain_faust.SINGLES)
        await create(settings, *(prefix + name for name in plain_faust.VOCABULARIES))
    for prefix, projects in (("batched.", PROJECTS), ("single.", MACHINES)):
        await prepared(settings, prefix, projects)


async def prepared(settings: KafkaSettings, prefix: str, projects: list[str]) -> KafkaSettings:
    """Make fswire's own topics under a prefix, and register projects there."""
    own = settings.model_copy(update={"topic_prefix": prefix})
    await topics_apply.apply(own, PARTITIONS, 1)
    await registry.write(own, *(registry.Project(id=name, created_ns=0) for name in projects))
    return own


def load(projects: list[str], events: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield `events` events of distinct paths in batches of `size`, projects taking turns."""
    each = [batches(project, f"agent-{project}", events // len(projects), size) for project in projects]
    turns = (zip(projects, turn, strict=True) for turn in zip(*each, strict=True))
    return chain.from_iterable(turns)


def plain(settings: KafkaSettings, directory: Path, prefix: str, *, awaits: bool) -> Measured:
    """Measure a plain Faust application."""
    env = {"PLAIN_WEB_PORT": str(ports.pick(set())), "PLAIN_AWAITS": str(int(awaits))}
    command = [sys.executable, "-m", "tests.benchmarks.plain_faust"]
    return _peer(settings, directory, prefix, PLAIN, command, env, started="Starting")


def quix(settings: KafkaSettings, directory: Path) -> Measured | None:
    """Measure a Quix Streams application, None where it is not installed."""
    if not QUIX_PYTHON.exists():
        return None
    command = [str(QUIX_PYTHON.absolute()), "-m", "tests.benchmarks.quix_peer"]
    env = {"QUIX_STATE_DIR": str(directory / "quix-state")}
    return _peer(settings, directory, "quix.", QUIX, command, env, started="Starting")


def _peer(
    settings: KafkaSettings,
    directory: Path,
    prefix: str,
    events: int,
    command: list[str],
    env: dict[str, str],
    *,
    started: str,
) -> Measured:
    own = settings.model_copy(update={"topic_prefix": prefix})
    asyncio.run(fill(own, own.topic(plain_faust.SINGLES), load(PROJECTS, events, 1)))
    env = {**os.environ, **environment(own), "PYTHONPATH": str(Path.cwd()), **env}
    with process(command, directory, env, started=started, name=prefix) as child:
        return _measured(child, own, events)


def normalizer(
    settings: KafkaSettings, directory: Path, prefix: str, records: Iterator[tuple[str, bytes]], events: int
) -> Measured:
    """Fill the raw topic with records, and measure one worker that takes them."""
    own = settings.model_copy(update={"topic_prefix": prefix})
    asyncio.run(fill(own, own.topic(topics.RAW), records))
    with worker(own, directory / prefix) as child:
        return _measured(child, own, events)


def worker(
    own: KafkaSettings, directory: Path, core: int | None = None
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run `fswire processors` with a data directory of its own."""
    env = {
        **environment(own),
        "FSWIRE_PROCESSORS_WEB_PORT": str(ports.pick(set())),
        "FSWIRE_PROCESSORS_DATA_DIR": str(directory / "data"),
    }
    return fswire("processors", directory, env, started="{", core=core)


def environment(own: KafkaSettings) -> dict[str, str]:
    """Return the settings by which a process finds the broker and its topics."""
    return {
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": own.topic_prefix,
    }


def _measured(child: subprocess.Popen[bytes], own: KafkaSettings, events: int) -> Measured:
    began = cpu_s(child)
    events_per_s = asyncio.run(rate(own, own.topic(topics.NOTIFY), events, 300))
    return Measured(events_per_s, (cpu_s(child) - began) / events * 1e6, peak_mb(child))
