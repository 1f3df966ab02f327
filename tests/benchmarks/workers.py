"""Events per second through two normalizers beside one, each on a core of its own (taskset).

The broker runs on the same cores. Where there are but two, what it needs is missing to the second worker: CPU
per event tells whether workers hinder one another, the rate what is left over for them.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

from agent.kafka import KafkaSettings
from processors import topics
from tests.benchmarks.normalizer import BATCH, PROJECTS, load, prepared, worker
from tests.benchmarks.parts import cpu_s, kafka
from tests.benchmarks.table import show
from tests.benchmarks.topic_load import fill, rate

EVENTS = 600_000
WARM_UP = 0.4
"""Share of the events during which the workers divide the partitions among them."""


def run(directory: Path) -> None:
    """Measure one worker, then two, and print the table."""
    with kafka(directory) as settings:
        (one, cpu_of_one), (two, cpu_of_two) = (_measured(settings, directory, count) for count in (1, 2))
    show(
        f"workers, each on a core of its own, the broker on the same {os.cpu_count()} cores",
        ("workers", "events/s", "times one", "CPU µs/event"),
        [("one", one, 1.0, cpu_of_one), ("two", two, two / one, cpu_of_two)],
    )


def _measured(settings: KafkaSettings, directory: Path, count: int) -> tuple[float, float]:
    own = asyncio.run(prepared(settings, f"workers-{count}.", PROJECTS))
    asyncio.run(fill(own, own.topic(topics.RAW), load(PROJECTS, EVENTS, BATCH)))
    with ExitStack() as running:
        children = [
            running.enter_context(worker(own, directory / f"{count}-{core}", core)) for core in range(count)
        ]
        per_s = asyncio.run(rate(own, own.topic(topics.NOTIFY), EVENTS, 300, warm_up=WARM_UP))
        return per_s, sum(map(cpu_s, children)) / EVENTS * 1e6
