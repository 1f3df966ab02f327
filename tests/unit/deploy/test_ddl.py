"""The schema for a cluster, as text."""

from __future__ import annotations

import pytest

from deploy import ddl

FILES = """\
CREATE TABLE IF NOT EXISTS files
(
    project_id String COMMENT 'Project',
    deleted UInt8 COMMENT 'Nothing is there'
)
ENGINE = ReplacingMergeTree(kafka_offset, deleted)
ORDER BY (project_id, path)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Last known state of every path; read it with FINAL'"""
VIEW = """\
CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_events TO activity
AS SELECT project_id FROM_, toStartOfMinute(occurred) AS minute
FROM events
GROUP BY project_id, minute
COMMENT 'Fills activity'"""


def test_one_server_is_given_what_the_file_says() -> None:
    """Without a cluster nothing is changed."""
    assert ddl.statements(FILES, None) == [FILES]
    assert ddl.everywhere(FILES, None) == FILES


def test_table_on_a_cluster_is_a_replicated_and_a_distributed_one() -> None:
    """The engine keeps its arguments, the window becomes that of replicated tables, all lies by project."""
    local, distributed = ddl.statements(FILES, "fleet")

    head, *_, engine, order, settings, comment = local.splitlines()
    assert head == "CREATE TABLE IF NOT EXISTS files_local ON CLUSTER 'fleet'"
    assert engine == (
        "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', "
        "kafka_offset, deleted)"
    )
    assert order == "ORDER BY (project_id, path)"
    assert settings == (
        "SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
    )
    assert distributed.splitlines() == [
        "CREATE TABLE IF NOT EXISTS files ON CLUSTER 'fleet' AS files_local",
        "ENGINE = Distributed('fleet', currentDatabase(), 'files_local', cityHash64(project_id))",
        comment,
    ]


def test_view_on_a_cluster_joins_local_tables() -> None:
    """A server's views read what was written to that server, so that nothing is counted twice."""
    (view,) = ddl.statements(VIEW, "fleet")

    assert view.splitlines()[0] == (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_events ON CLUSTER 'fleet' TO activity_local"
    )
    assert "\nFROM events_local\n" in view


def test_table_that_is_everywhere_has_one_place_in_keeper() -> None:
    """Every server of every shard is a replica of it."""
    statement = ddl.everywhere(FILES, "fleet")

    assert statement.startswith("CREATE TABLE IF NOT EXISTS files ON CLUSTER 'fleet'\n")
    assert "('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}', " in statement


@pytest.mark.parametrize(
    ("statement", "cluster", "names"),
    [
        (FILES, None, ["files"]),
        (FILES, "fleet", ["files_local", "files"]),
        (VIEW, "fleet", ["activity_of_events"]),
    ],
)
def test_what_a_statement_creates_is_named(statement: str, cluster: str | None, names: list[str]) -> None:
    """So that what was dropped is noticed."""
    assert ddl.creates(statement, cluster) == names


def test_statement_of_another_kind_is_an_error() -> None:
    """What is neither table nor view would be made on one server only."""
    with pytest.raises(ValueError, match="neither a table nor a view: ALTER"):
        ddl.statements("ALTER TABLE events MODIFY COLUMN a String", "fleet")


@pytest.mark.parametrize(
    ("days", "cluster", "statement"),
    [
        (30, None, "ALTER TABLE events MODIFY TTL toDateTime(received) + toIntervalDay(30)"),
        (0, None, "ALTER TABLE events REMOVE TTL"),
        (0, "fleet", "ALTER TABLE events_local ON CLUSTER 'fleet' REMOVE TTL"),
    ],
)
def test_days_are_a_ttl_of_the_table_with_the_rows(days: int, cluster: str | None, statement: str) -> None:
    """On a cluster that is the local one; 0 days are no TTL."""
    assert ddl.keep("events", days, cluster) == statement


def test_days_are_read_from_what_created_a_table() -> None:
    """So that nothing is altered that is as it should be."""
    created = "… ORDER BY a TTL toDateTime(received) + toIntervalDay(30) SETTINGS index_granularity = 8192"

    assert ddl.days_kept(created) == 30
    assert ddl.days_kept("… ORDER BY a SETTINGS index_granularity = 8192") == 0
    assert ddl.days_kept("… ORDER BY a TTL toDateTime(received) + toIntervalMonth(3) SETTINGS …") is None
