"""Rows per second through one sink, from records on `fswire.donutwork` to committed rows of `events`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from agent.event import decode_batch
from agent.kafka import KafkaSettings, partition_of
from deploy import ports, schema
from processors import topics, topics_apply
from processors.chunk import Chunk, RawRecord
from processors.clickhouse import ClickHouseSettings, connect
from processors.outputs import Outputs
from processors.publisher import Publisher
from processors.state import Draft, State
from tests.benchmarks.history import batches
from tests.benchmarks.normalizer import PROJECTS
from tests.benchmarks.parts import fswire, kafka
from tests.benchmarks.table import show
from tests.benchmarks.topic_load import PARTITIONS
from tests.unit.processors.raw import Stored

ROWS = 600_000
PASSWORD = "benchmark"


def run(directory: Path) -> None:
    """Fill the topic as the normalizer does, start the sink, and print what it did."""
    port = ports.pick(set())
    url = f"http://fswire:{PASSWORD}@127.0.0.1:{port}/default"
    store = {
        "FSWIRE_STORE_PORT": str(port),
        "FSWIRE_STORE_PASSWORD": PASSWORD,
        "FSWIRE_STORE_DATA_DIR": str(directory / "store"),
    }
    with kafka(directory) as settings, fswire("store", directory / "parts", store):
        schema.apply(SecretStr(url))
        asyncio.run(_fill(settings))
        env = {
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "FSWIRE_CLICKHOUSE_URL": url,
        }
        with fswire("sink", directory / "parts", env):
            seconds, rows = _drain(ClickHouseSettings(url=SecretStr(url)))
    show(
        "sink: from Kafka to committed rows, broker and database on the same cores",
        ("rows", "seconds", "rows/s"),
        [(rows, seconds, rows / seconds)],
    )


async def _fill(settings: KafkaSettings) -> None:
    """Publish to `fswire.donutwork` alone what the normalizer makes of every project's history."""
    await topics_apply.apply(settings, PARTITIONS, 1)
    publisher = Publisher(settings)
    await publisher.start()
    for project in PROJECTS:
        partition = partition_of(project, PARTITIONS)
        for outputs in _outputs(project, partition):
            outputs.watch.clear()
            outputs.notify.clear()
            await publisher.publish(outputs, partition)
    await publisher.stop()


def _outputs(project: str, partition: int) -> Iterator[Outputs]:
    """Yield the outputs of a project's batches; raw offsets rise across projects."""
    base = PROJECTS.index(project) * ROWS
    now_ms = time.time_ns() // 1_000_000
    draft = Draft(State(1, 1, 1), Stored())
    for offset, raw in enumerate(batches(project, f"agent-{project}", ROWS // len(PROJECTS), 500)):
        chunk = Chunk(topics.RAW, partition, draft)
        chunk.take(RawRecord(base + offset, now_ms, project.encode(), raw), decode_batch(raw))
        yield chunk.outputs


def _drain(settings: ClickHouseSettings) -> tuple[float, int]:
    """Return the seconds from the first row to the last, and how many were stored in between."""
    client = connect(settings)

    def count() -> int:
        return int(client.query("SELECT count() FROM events").first_row[0])

    while not (first := count()):
        time.sleep(0.02)
    began = time.perf_counter()
    while (rows := count()) < ROWS:
        time.sleep(0.05)
    client.close()
    if rows != ROWS:
        raise AssertionError(f"{rows} rows of {ROWS} records")
    return time.perf_counter() - began, rows - first
