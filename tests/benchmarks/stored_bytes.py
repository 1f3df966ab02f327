"""Bytes per event that ClickHouse keeps of a realistic history: by column, index and projection."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from agent.event import decode_batch
from deploy import ports, schema
from processors import rows, topics
from processors.chunk import Chunk, RawRecord
from processors.clickhouse import ClickHouseSettings, connect
from processors.plan import SRC_HEADER
from processors.state import Draft, State
from processors.tables import EVENTS
from tests.benchmarks.parts import fswire
from tests.benchmarks.source_history import batches
from tests.benchmarks.table import show
from tests.unit.processors.raw import Stored, records

TREES = ("pandas", "faust", "mypy", "pygments", "sqlglot", "setuptools")
"""Packages of the environment that this runs in: a project each."""
EVENTS_OF_A_TREE = 50_000
ROWS_OF_AN_INSERT = 20_000
PASSWORD = "benchmark"

_COLUMNS = """
SELECT column, any(type), sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns
WHERE active AND database = currentDatabase() AND table = 'events' GROUP BY column ORDER BY bytes DESC
"""
_OTHERS = """
SELECT concat('index ', name), type, data_compressed_bytes + marks_bytes FROM system.data_skipping_indices
WHERE database = currentDatabase() AND table = 'events'
UNION ALL
SELECT concat('projection ', name), '', sum(bytes_on_disk) FROM system.projection_parts
WHERE active AND database = currentDatabase() AND table = 'events' GROUP BY name
"""


def run(directory: Path) -> None:
    """Store the histories of all trees, merge them, and print what they take."""
    port = ports.pick(set())
    url = SecretStr(f"http://fswire:{PASSWORD}@127.0.0.1:{port}/default")
    store = {
        "FSWIRE_STORE_PORT": str(port),
        "FSWIRE_STORE_PASSWORD": PASSWORD,
        "FSWIRE_STORE_DATA_DIR": str(directory / "store"),
    }
    with fswire("store", directory / "parts", store):
        schema.apply(url)
        client = connect(ClickHouseSettings(url=url))
        fill(client)
        client.command("OPTIMIZE TABLE events FINAL")
        _print(client)
        client.close()


def fill(client: Client) -> None:
    """Insert every tree's history as the sink would, a partition each."""
    site_packages = Path(sysconfig.get_path("purelib"))
    for partition, tree in enumerate(TREES):
        told = _records(site_packages / tree, partition)
        statement = EVENTS.insert(topics.DONUTWORK, partition)
        while some := list(islice(told, ROWS_OF_AN_INSERT)):
            client.command(statement, data=EVENTS.body(some), settings=rows.SETTINGS)


def _records(tree: Path, partition: int) -> Iterator[rows.Row]:
    """Yield what the normalizer makes of a tree's history."""
    draft = Draft(State(1, 1, 1), Stored())
    offset = 0
    for raw_offset, (taken_ms, raw) in enumerate(batches(tree, tree.name, EVENTS_OF_A_TREE)):
        chunk = Chunk(topics.RAW, partition, draft)
        chunk.take(RawRecord(raw_offset, taken_ms, tree.name.encode(), raw), decode_batch(raw))
        for nth, (_, _, value, _) in enumerate(records(chunk.outputs.donutwork)):
            yield rows.Row(offset, value, None, 0, ((SRC_HEADER, b"%d.%d.0" % (raw_offset, nth)),))
            offset += 1


def _print(client: Client) -> None:
    events = int(client.query("SELECT count() FROM events").first_row[0])
    columns = client.query(_COLUMNS).result_rows
    others = client.query(_OTHERS).result_rows
    show(
        f"stored bytes per event: {len(TREES)} source trees, {events:,} events, merged",
        ("column", "type", "bytes/event"),
        [
            *((name, kind, size / events) for name, kind, size in columns),
            ("all columns", "", sum(size for *_, size in columns) / events),
            *((name, kind, size / events) for name, kind, size in others),
            ("all indexes and projections", "", sum(size for *_, size in others) / events),
        ],
    )
