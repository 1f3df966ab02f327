"""Rows per second through one sink, from records on `fswire.donutwork` to rows of `events`; and one alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from agent.event import decode_batch
from agent.kafka import KafkaSettings, partition_of
from deploy import ports, schema
from processors import topics, topics_apply
from processors.chunk import Chunk, RawRecord
from processors.clickhouse import ClickHouseSettings, connect
from processors.outputs import Outputs
from processors.publisher import Publisher
from processors.record_batch import Batches
from processors.state import Draft, State
from tests.benchmarks.history import batches
from tests.benchmarks.normalizer import PROJECTS
from tests.benchmarks.parts import cpu_s, fswire, kafka, peak_mb
from tests.benchmarks.table import percentile, show
from tests.benchmarks.topic_load import PARTITIONS
from tests.unit.processors.raw import Stored

ROWS = 600_000
ALONE = 20
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
        with fswire("sink", directory / "parts", env) as child:
            database = ClickHouseSettings(url=SecretStr(url))
            seconds, rows = _drain(database)
            cpu_us = cpu_s(child) / ROWS * 1e6
            visible_ms = asyncio.run(_one_by_one(settings, database))
            memory_mb = peak_mb(child)
    show(
        "sink: from Kafka to committed rows, broker and database on the same cores",
        ("rows", "seconds", "rows/s", "CPU µs/row", "memory, MB"),
        [(rows, seconds, rows / seconds, cpu_us, memory_mb)],
    )
    show(
        f"sink at low load: ms from a record's sending until a query finds its row, {ALONE} of them",
        ("p50", "p90", "longest"),
        [(percentile(visible_ms, 0.5), percentile(visible_ms, 0.9), max(visible_ms))],
    )


async def _fill(settings: KafkaSettings) -> None:
    """Publish to `fswire.donutwork` alone what the normalizer makes of every project's history."""
    await topics_apply.apply(settings, PARTITIONS, 1)
    publisher = Publisher(settings)
    await publisher.start()
    for nth, project in enumerate(PROJECTS):
        partition = partition_of(project, PARTITIONS)
        for outputs in _outputs(project, partition, nth * ROWS, ROWS // len(PROJECTS), 500):
            outputs.watch, outputs.notify = Batches(), Batches()
            await publisher.publish(outputs, partition)
    await publisher.stop()


def _outputs(project: str, partition: int, base: int, events: int, size: int) -> Iterator[Outputs]:
    """Yield the outputs of a project's batches; raw offsets, from `base`, rise across projects."""
    now_ms = time.time_ns() // 1_000_000
    draft = Draft(State(1, 1, 1), Stored())
    for offset, raw in enumerate(batches(project, f"agent-{project}", events, size)):
        chunk = Chunk(topics.RAW, partition, draft)
        chunk.take(RawRecord(base + offset, now_ms, project.encode(), raw), decode_batch(raw))
        yield chunk.outputs


def _drain(settings: ClickHouseSettings) -> tuple[float, int]:
    """Return the seconds from the first row to the last, and how many were stored in between."""
    client = connect(settings)
    first, began = _await_rows(client, 1, 0.02), time.perf_counter()
    rows = _await_rows(client, ROWS, 0.05)
    client.close()
    if rows != ROWS:
        raise AssertionError(f"{rows} rows of {ROWS} records")
    return time.perf_counter() - began, rows - first


async def _one_by_one(settings: KafkaSettings, database: ClickHouseSettings) -> list[float]:
    """Send records, each once the one before is a row, and return how long each took to become one."""
    client, publisher = connect(database), Publisher(settings)
    await publisher.start()
    partition, taken_ms = partition_of(PROJECTS[0], PARTITIONS), []
    for nth, outputs in enumerate(_outputs(PROJECTS[0], partition, len(PROJECTS) * ROWS, ALONE, 1), 1):
        outputs.watch, outputs.notify = Batches(), Batches()
        began = time.perf_counter()
        await publisher.publish(outputs, partition)
        _await_rows(client, ROWS + nth, 0.005)
        taken_ms.append((time.perf_counter() - began) * 1000)
    client.close()
    await publisher.stop()
    return taken_ms


def _await_rows(client: Client, wanted: int, pause_s: float) -> int:
    while (found := int(client.query("SELECT count() FROM events").first_row[0])) < wanted:
        time.sleep(pause_s)
    return found
