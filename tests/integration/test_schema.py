"""The schema, applied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from deploy import ddl, ports, schema
from processors.clickhouse import MAX_KEEP_DAYS, ClickHouseUnavailable
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
        ("renamed", "project_id = 'p' AND event = 'renamed' AND renamed_to IN ('b', 'c')"),
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


def test_history_of_a_path_is_read_from_its_projection(client: Any) -> None:
    """Rows of one path are found without reading the time ranges that they lie in."""
    client.command(
        "INSERT INTO events (project_id, occurred, event_id, path, kafka_offset) "
        "SELECT 'paths', toDateTime64(number, 6), toString(number), toString(number % 20000), number "
        "FROM numbers(100000)"
    )
    client.command("OPTIMIZE TABLE events FINAL")
    query = "SELECT event_id FROM events WHERE project_id = 'paths' AND path = '77' ORDER BY kafka_offset"
    settings = {"min_table_rows_to_use_projection_index": 0}

    explained = client.query(f"EXPLAIN projections = 1 {query}", settings=settings).result_rows
    found = client.query(query, settings=settings).result_rows

    assert any(line[0].strip() == "Name: path_history" for line in explained)
    assert [row[0] for row in found] == ["77", "20077", "40077", "60077", "80077"]


def test_activity_counts_events_of_every_year_in_its_minute(client: Any) -> None:
    """One insert may hold events of hundreds of months, 1900 to 2299: partitions are months of receipt."""
    far = "toDateTime64('1900-01-01 00:00:59.5', 6, 'UTC') + toIntervalMonth(number % 4800)"
    client.command(
        "INSERT INTO events (project_id, occurred, event_id, event, size, received) "
        f"SELECT 'far', {far}, toString(number), 'created', 2, '2026-11-21 10:00:00' FROM numbers(9600)"
    )
    client.command("OPTIMIZE TABLE activity FINAL")

    counted = client.query(
        "SELECT count(), sum(events), max(events), sum(bytes), toString(min(minute)), toString(max(minute)), "
        "toString(any(received)), countIf(toSecond(minute) != 0) FROM activity WHERE project_id = 'far'"
    ).first_row

    times = ("1900-01-01 00:00:00", "2299-12-01 00:00:00", "2026-11-30")
    assert tuple(counted) == (4800, 9600, 2, 19_200, *times, 0)


def _days(client: Any) -> dict[str, int | None]:
    engines = client.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    return {name: days for name, engine in engines if (days := ddl.days_kept(engine)) != 0}


def test_rows_are_kept_for_ever_until_days_are_set(store: StoreProcess, client: Any) -> None:
    """Set, changed and taken away by running it again; only tables that grow have days; whole parts go."""
    url = SecretStr(store.place.url)
    assert _days(client) == {}

    lines = schema.apply(url, keep_days=30)[len(schema.migrations()) :]

    assert lines == [f"{table}: rows are kept for 30 days" for table in ddl.KEPT]
    assert _days(client) == dict.fromkeys(ddl.KEPT, 30)
    assert schema.apply(url, keep_days=30)[len(schema.migrations()) :] == []
    assert schema.apply(url)[len(schema.migrations()) :] == []
    assert _days(client) == dict.fromkeys(ddl.KEPT, 30)
    schema.apply(url, keep_days=7)
    assert _days(client) == dict.fromkeys(ddl.KEPT, 7)
    schema.apply(url, keep_days=0)
    assert _days(client) == {}
    whole = "SELECT name FROM system.tables WHERE engine_full LIKE '%ttl_only_drop_parts = 1%'"
    assert {row[0] for row in client.query(whole).result_rows} == set(ddl.KEPT)


def test_ttl_of_another_form_is_taken_away(store: StoreProcess, client: Any) -> None:
    """For ever is for ever, also where somebody has altered a table by hand."""
    client.command("ALTER TABLE latency MODIFY TTL toDateTime(minute) + toIntervalMonth(3)")

    lines = schema.apply(SecretStr(store.place.url), keep_days=0)[len(schema.migrations()) :]

    assert lines == ["latency: rows are kept for ever"]
    assert _days(client) == {}


def test_days_are_bounded_by_what_can_be_reckoned(store: StoreProcess) -> None:
    """Beyond 2106 the moment at which a row goes would wrap around, and every row would go at once."""
    url = SecretStr(store.place.url)

    with pytest.raises(ValidationError, match="18250"):
        schema.apply(url, keep_days=MAX_KEEP_DAYS + 1)


def test_dropped_table_and_view_are_made_again(store: StoreProcess, client: Any) -> None:
    """What is missing is created, although it was applied before; the rest stays as it is."""
    client.command("DROP TABLE audit")
    client.command("DROP TABLE latency_of_events")

    lines = schema.apply(SecretStr(store.place.url), keep_days=0)

    assert [line for line in lines if "already applied" not in line] == [
        "0012_latency_of_events: applied",
        "0013_audit: applied",
    ]
    assert client.command("SELECT count() FROM schema_migrations FINAL") == len(schema.migrations())


def test_refusal_of_the_database_is_told(store: StoreProcess) -> None:
    """In the words of ClickHouse, and with the place."""
    with pytest.raises(ClickHouseUnavailable, match="nowhere"):
        schema.apply(SecretStr(store.place.url), cluster="nowhere")


def test_expired_rows_are_dropped(store: StoreProcess, client: Any) -> None:
    """What was received before is gone with its part, what came later stays."""
    client.command(
        "INSERT INTO events (project_id, event_id, received) "
        "VALUES ('kept', 'old', now() - INTERVAL 400 DAY), ('kept', 'new', now())"
    )

    schema.apply(SecretStr(store.place.url), keep_days=90)
    client.command("OPTIMIZE TABLE events FINAL")

    left = client.query("SELECT event_id FROM events WHERE project_id = 'kept'").result_rows
    schema.apply(SecretStr(store.place.url), keep_days=0)
    assert left == [("new",)]


@pytest.mark.parametrize("migration", schema.migrations(), ids=str)
def test_statements_for_a_cluster_can_be_read(client: Any, migration: schema.Migration) -> None:
    """ClickHouse parses what every server of a cluster is given; there is no cluster here to run it on."""
    statements = ddl.statements(migration.statement, "fleet")

    for statement in statements:
        client.query(f"EXPLAIN AST {statement}")
        assert " ON CLUSTER 'fleet'" in statement.splitlines()[0]
    assert (len(statements) == 2) == migration.statement.startswith("CREATE TABLE")


def test_roles_can_be_read(client: Any) -> None:
    """ClickHouse parses every statement of `roles.sql`; the embedded engine has no users to make."""
    text = resources.files("deploy").joinpath("clickhouse", "roles.sql").read_text("utf-8")
    statements = [each.strip() for each in re.sub("^--.*$", "", text, flags=re.MULTILINE).split(";")]

    for statement in filter(None, statements):
        client.query(f"EXPLAIN AST {statement}")
    granted = re.findall(r"GRANT SELECT ON default\.(\w+) TO fswire_(?:analyst|auditor);", text)

    tables = {
        re.split(r"[\s(]+", each.statement)[5]
        for each in schema.migrations()
        if each.statement.startswith("CREATE TABLE")
    }
    assert sorted(granted) == sorted(tables)
    assert "GRANT SELECT ON default.audit TO fswire_analyst" not in text


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
