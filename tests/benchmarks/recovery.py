"""Seconds until a normalizer has the state of 1,000,000 paths, after one that was killed."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from agent.kafka import KafkaSettings
from processors import topics
from tests.benchmarks.normalizer import BATCH, PROJECTS, load, prepared, worker
from tests.benchmarks.parts import kafka, peak_mb
from tests.benchmarks.table import show
from tests.benchmarks.topic_load import PARTITIONS, fill, rate

PATHS = 1_000_000
_TIMEOUT_S = 120


def run(directory: Path) -> None:
    """Let a worker make the state, kill it, and time its successors: one with its disk, one without."""
    with kafka(directory) as settings:
        own = asyncio.run(prepared(settings, "recovery.", PROJECTS))
        asyncio.run(fill(own, own.topic(topics.RAW), load(PROJECTS, PATHS, BATCH)))
        with worker(own, directory / "first") as first:
            asyncio.run(rate(own, own.topic(topics.NOTIFY), PATHS, 300))
            first.kill()
        rows = [
            (name, *_recovered(own, directory / where))
            for name, where in (("on the same disk", "first"), ("on an empty disk", "second"))
        ]
    show(
        f"recovery of a normalizer, {PATHS:,} paths in {PARTITIONS} partitions",
        ("who", "s from its start", "s of its slowest partition", "memory, MB"),
        rows,
    )


def _recovered(own: KafkaSettings, directory: Path) -> tuple[float, float, float]:
    began = time.monotonic()
    with worker(own, directory) as child:
        while len(found := _told(directory / "processors.log")) < PARTITIONS:
            if time.monotonic() - began > _TIMEOUT_S:
                raise TimeoutError(f"{len(found)} of {PARTITIONS} partitions were recovered")
            time.sleep(0.05)
        return time.monotonic() - began, max(found), peak_mb(child)


def _told(log: Path) -> list[float]:
    """Return how long each partition took, as the worker says it."""
    lines = [line for line in log.read_text().splitlines() if "partition recovered" in line]
    return [float(json.loads(line)["seconds"]) for line in lines if line.endswith("}")]
