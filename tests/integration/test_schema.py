"""The schema, applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from deploy import ports, schema
from processors.clickhouse import ClickHouseUnavailable
from tests.integration.databases import Place, StoreProcess, running_store

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store with the schema."""
    with running_store(tmp_path_factory.mktemp("schema") / "store") as running:
        schema.apply(SecretStr(running.place.url))
        yield running


@pytest.fixture
def client(store: StoreProcess) -> Iterator[Any]:
    """A client of it."""
    connected = store.place.connect()
    yield connected
    connected.close()


def test_apply_twice_changes_nothing(store: StoreProcess, client: Any) -> None:
    """A second run finds everything applied, and records nothing new."""
    lines = schema.apply(SecretStr(store.place.url))

    assert lines == [f"{migration}: already applied" for migration in schema.migrations()]
    assert client.command("SELECT count() FROM schema_migrations") == len(lines)


def test_every_table_and_column_is_commented(client: Any) -> None:
    """The schema is its own reference."""
    silent = client.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' "
        "AND table NOT IN (SELECT name FROM system.tables WHERE engine = 'MaterializedView') "
        "UNION ALL "
        "SELECT name, '' FROM system.tables WHERE database = currentDatabase() AND comment = ''"
    ).result_rows

    assert silent == []


@pytest.mark.parametrize(
    ("index", "predicate"),
    [
        ("names", r"concat(path, '\0', renamed_to) LIKE '%kg3/file_47%'"),
        ("content", "sha256 = unhex('357e44cd3129903ac1d45597a242fdf11f8f2b1a39f3c3e693114351dcbed407')"),
        ("kafka", "kafka_partition = 3 AND kafka_offset BETWEEN 5 AND 9"),
    ],
)
def test_index_is_used_by_its_predicate(client: Any, index: str, predicate: str) -> None:
    """The predicate of each look-up is the expression of its index."""
    client.command(
        "INSERT INTO events (project_id, event_id, path) SELECT 'p', toString(number), 'a' FROM numbers(9)"
    )

    explained = client.query(f"EXPLAIN indexes = 1 SELECT event_id FROM events WHERE {predicate}").result_rows

    assert any(line[0].strip() == f"Name: {index}" for line in explained)


def test_changed_migration_is_refused(store: StoreProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was applied may not be something else now."""
    changed = [schema.Migration(1, "events", "SELECT 1")]
    monkeypatch.setattr(schema, "migrations", lambda: changed)

    with pytest.raises(schema.SchemaRefused, match="0001_events"):
        schema.apply(SecretStr(store.place.url))


def test_unreachable_database_is_named() -> None:
    """The message says which, where and what to check, and never the password."""
    place = Place("127.0.0.1", ports.pick(set()), "somebody", "hunter2")

    with pytest.raises(ClickHouseUnavailable) as raised:
        schema.apply(SecretStr(place.url))

    assert f"http://somebody@127.0.0.1:{place.port}/default" in str(raised.value)
    assert "FSWIRE_CLICKHOUSE_URL" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_migrations_are_numbered_without_gaps() -> None:
    """Each number stands once, from 1."""
    numbers = [migration.version for migration in schema.migrations()]

    assert numbers == list(range(1, len(numbers) + 1))
