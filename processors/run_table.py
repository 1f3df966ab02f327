"""Workflow runs as the table `runs` has them, for commands: a few seconds behind the topic."""

from __future__ import annotations

from typing import NamedTuple

from clickhouse_connect.driver.client import Client

_LISTED = """
SELECT run_id, state, workflow, project_id, path, attempts, again, updated, error FROM runs FINAL
WHERE ({state:String} = '' OR state = {state:String})
    AND ({workflow:String} = '' OR workflow = {workflow:String})
    AND ({project:String} = '' OR project_id = {project:String})
ORDER BY updated DESC, run_id
LIMIT {limit:UInt32}
"""
_PLACE = "SELECT kafka_partition, kafka_offset FROM runs FINAL WHERE run_id = {run:String} LIMIT 1"


class Listed(NamedTuple):
    """A run in a list."""

    run: str
    state: str
    workflow: str
    project: str
    path: str
    attempts: int
    again: int
    updated: object
    error: str


class UnknownRun(LookupError):
    """The table has no run of this id."""


def newest(
    client: Client, *, state: str = "", workflow: str = "", project: str = "", limit: int
) -> list[Listed]:
    """Return runs, the newest first; an empty text does not filter."""
    given = {"state": state, "workflow": workflow, "project": project, "limit": limit}
    return [Listed(*row) for row in client.query(_LISTED, parameters=given).result_rows]


def place(client: Client, run: str) -> tuple[int, int]:
    """Return partition and offset of a run's newest record that the table knows. Raises UnknownRun."""
    found = client.query(_PLACE, parameters={"run": run}).result_rows
    if not found:
        raise UnknownRun(f"there is no run {run!r}: `fswire workflow runs` lists them")
    partition, offset = found[0]
    return partition, offset
