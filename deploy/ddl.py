"""The schema's statements as one server, or a cluster of them, is to be given them. Pure.

A file of `deploy/clickhouse` is written for one server. On a cluster each table is two: `NAME_local`,
replicated within its shard, and `NAME`, Distributed over all shards by project, through which everybody reads
and writes. Views fill the local tables of their own server.
"""

from __future__ import annotations

import re

KEPT = {
    "events": "received",
    "sessions": "received",
    "dead_letters": "received",
    "activity": "received",
    "latency": "minute",
    "audit": "at",
    "run_states": "updated",
    "transfers": "updated",
}
"""Tables that grow with time, by the column that tells how old a row is; the others hold a state of now."""
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (?P<name>\w+)\n")
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS (?P<name>\w+) TO (?P<target>\w+)\n")
_SOURCE = re.compile(r"^FROM (\w+)$", re.MULTILINE)
_ENGINE = re.compile(r"^ENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?$", re.MULTILINE)
_COMMENT = re.compile(r"^COMMENT '.*'$", re.MULTILINE)
_CREATES = re.compile(r"CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS (\w+)")
_DAYS = re.compile(r" TTL toDateTime\(\w+\) \+ toIntervalDay\((\d+)\)")
# {shard} and {replica} are macros of the servers' configuration, the others ClickHouse's own.
_OF_EACH_SHARD = "/clickhouse/tables/{shard}/{database}/{table}"
_OF_ALL = "/clickhouse/tables/all/{database}/{table}"
_WINDOW = "non_replicated_deduplication_window = 10000"
_REPLICATED_WINDOW = (
    "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
)


def statements(statement: str, cluster: str | None) -> list[str]:
    """Return what creates a table or view of the schema, on one server or on every server of a cluster."""
    if cluster is None:
        return [statement]
    if table := _TABLE.match(statement):
        return [_local(statement, table, cluster), _distributed(statement, table["name"], cluster)]
    return [_view(statement, cluster)]


def everywhere(statement: str, cluster: str | None) -> str:
    """Return what creates a table that every server of a cluster has the whole of."""
    table = _TABLE.match(statement)
    if cluster is None or table is None:
        return statement
    head = f"CREATE TABLE IF NOT EXISTS {table['name']} ON CLUSTER '{cluster}'\n"
    return _replicated(head + statement[table.end() :], _OF_ALL, "{shard}-{replica}")


def creates(statement: str, cluster: str | None) -> list[str]:
    """Return the names of what `statements` creates."""
    return [found[1] for each in statements(statement, cluster) if (found := _CREATES.match(each))]


def days_kept(engine: str) -> int | None:
    """Return the days in a table's engine, as `system.tables` shows it in full.

    0: its rows are kept for ever; None: it has a TTL that is none of ours.
    """
    if " TTL " not in engine:
        return 0
    found = _DAYS.search(engine)
    return int(found[1]) if found else None


def keep(table: str, days: int, cluster: str | None) -> str:
    """Return what makes a table of KEPT keep its rows for so many days, 0: for ever."""
    where = f"{stored(table, cluster)} ON CLUSTER '{cluster}'" if cluster else table
    if days:
        return f"ALTER TABLE {where} MODIFY TTL toDateTime({KEPT[table]}) + toIntervalDay({days})"
    return f"ALTER TABLE {where} REMOVE TTL"


def stored(table: str, cluster: str | None) -> str:
    """Return the name of the table that holds the rows of another."""
    return f"{table}_local" if cluster else table


def _local(statement: str, table: re.Match[str], cluster: str) -> str:
    head = f"CREATE TABLE IF NOT EXISTS {table['name']}_local ON CLUSTER '{cluster}'\n"
    return _replicated(head + statement[table.end() :], _OF_EACH_SHARD, "{replica}")


def _replicated(statement: str, path: str, replica: str) -> str:
    def engine(found: re.Match[str]) -> str:
        arguments = [f"'{path}'", f"'{replica}'", *([found["arguments"]] if found["arguments"] else [])]
        return f"ENGINE = Replicated{found['engine']}({', '.join(arguments)})"

    return _ENGINE.sub(engine, statement, count=1).replace(_WINDOW, _REPLICATED_WINDOW)


def _distributed(statement: str, name: str, cluster: str) -> str:
    comment = _COMMENT.findall(statement)[-1]
    head = f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER '{cluster}' AS {name}_local\n"
    where = f"'{cluster}', currentDatabase(), '{name}_local', cityHash64(project_id)"
    return f"{head}ENGINE = Distributed({where})\n{comment}"


def _view(statement: str, cluster: str) -> str:
    view = _VIEW.match(statement)
    if view is None:
        raise ValueError(f"neither a table nor a view: {statement[:60]}")
    head = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view['name']} ON CLUSTER '{cluster}' "
    return (
        head
        + f"TO {view['target']}_local\n"
        + _SOURCE.sub(r"FROM \1_local", statement[view.end() :], count=1)
    )
