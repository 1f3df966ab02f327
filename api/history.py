"""A project's history out of ClickHouse: newest first, ties by event id, one page and the count of all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from api import cursor
from api.cursor import Place
from api.database import Database
from api.history_query import Filters, HistoryQuery
from processors.instants import iso

_LIKE_SPECIAL = re.compile(r"[\\%_]")
_CLAUSES = {
    "project": "project_id = {project:String}",
    "event": "event = {event:String}",
    "path_like": (
        "concat(path, '\\0', renamed_to) LIKE {path_pattern:String}"
        " AND (position(path, {path_like:String}) > 0 OR position(renamed_to, {path_like:String}) > 0)"
    ),
    "from_us": "occurred >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')",
    "to_us": "occurred < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')",
    "sha256": "sha256 = toFixedString(unhex({sha256:String}), 32)",
    "host": "host = {host:String}",
}
"""`path_like`: the first condition is the expression of the text index, the second is exact at the NUL."""
AFTER = (
    "occurred <= fromUnixTimestamp64Micro({after_us:Int64}, 'UTC')"
    " AND (occurred < fromUnixTimestamp64Micro({after_us:Int64}, 'UTC') OR event_id > {after_id:String})"
)
"""The first half alone lets ClickHouse skip by primary key what lies before the place."""
COLUMNS = """
    event_id, project_id, event, path, renamed_to, size, filetype, hash_status, uid, pid, exe, owner_uid,
    owner_gid, mode, mtime_ns, is_dir, moved, changed, file_id, host, agent, source, duplicate, late, key_id,
    details, toUnixTimestamp64Micro(occurred) AS occurred_us, toUnixTimestamp64Micro(sent) AS sent_us,
    toUnixTimestamp64Micro(received) AS received_us,
    if(sha256 = toFixedString('', 32), '', lower(hex(sha256))) AS sha256_hex,
    if(previous_sha256 = toFixedString('', 32), '', lower(hex(previous_sha256))) AS previous_sha256_hex
"""


class Row(msgspec.Struct):
    """A row of `events`, as the query names its columns."""

    event_id: str
    project_id: str
    event: str
    path: str
    renamed_to: str
    size: int
    filetype: str
    hash_status: str
    uid: int | None
    pid: int | None
    exe: str
    owner_uid: int | None
    owner_gid: int | None
    mode: int | None
    mtime_ns: int | None
    is_dir: bool
    moved: str
    changed: list[str]
    file_id: int
    host: str
    agent: str
    source: str
    duplicate: bool
    late: bool
    key_id: str
    details: str
    occurred_us: int
    sent_us: int
    received_us: int
    sha256_hex: str
    previous_sha256_hex: str


class Run(msgspec.Struct):
    """A workflow run that an event triggered."""

    event_id: str
    workflow: str
    state: str


_RUNS = """
    SELECT event_id, workflow, argMax(state, kafka_offset) AS state FROM runs
    WHERE project_id = {project:String} AND event_id IN {events:Array(String)}
    GROUP BY event_id, workflow, run_id ORDER BY event_id, workflow
"""
"""The newest state of each run; without FINAL, which would read all of the project's runs."""


class History:
    """Reads pages; the database is asked for the page and for the count at the same time."""

    def __init__(self, database: Database, *, timeout_s: int = 10) -> None:
        self._database = database
        self._settings = {"max_execution_time": timeout_s}

    async def page(self, query: HistoryQuery) -> dict[str, Any]:
        """Return the answer to a history request; Unavailable where ClickHouse cannot be asked."""
        (rows, runs), count = await asyncio.gather(self._rows_and_runs(query), self._count(query.filters))
        answer = {
            "status": "fetch",
            "projectId": query.filters.project,
            "page": query.page,
            "size": query.size,
            "count": count,
            "items": [item(row, runs.get(row.event_id, ())) for row in rows[: query.size]],
        }
        if len(rows) > query.size:
            last = rows[query.size - 1]
            answer["next"] = cursor.encode(Place(last.occurred_us, last.event_id), query.filters.scope())
        return answer

    async def runs(self, project: str, rows: Iterable[Row]) -> dict[str, list[Run]]:
        """Return the runs that events of a project triggered, by event id."""
        events = [row.event_id for row in rows if not row.duplicate]
        found: dict[str, list[Run]] = {}
        if events:
            parameters = {"project": project, "events": events}
            for run in await self._database.rows(_RUNS, parameters, Run, self._settings):
                found.setdefault(run.event_id, []).append(run)
        return found

    async def _rows_and_runs(self, query: HistoryQuery) -> tuple[list[Row], dict[str, list[Run]]]:
        rows = await self._rows(query)
        return rows, await self.runs(query.filters.project, rows[: query.size])

    async def _rows(self, query: HistoryQuery) -> list[Row]:
        sql, parameters = page_sql(query)
        return await self._database.rows(sql, parameters, Row, self._settings)

    async def _count(self, filters: Filters) -> int:
        where, parameters = where_sql(filters)
        sql = f"SELECT count() AS events FROM events WHERE {where}"  # noqa: S608  our own clauses; values are bound
        return (await self._database.rows(sql, parameters, _Count, self._settings))[0].events


class _Count(msgspec.Struct):
    events: int


def where_sql(filters: Filters) -> tuple[str, dict[str, Any]]:
    """Return the WHERE clause of the filters, and the parameters that it binds."""
    given = {name: value for name, value in msgspec.structs.asdict(filters).items() if value is not None}
    where = " AND ".join(_CLAUSES[name] for name in given)
    if filters.path_like is not None:
        given["path_pattern"] = f"%{like(filters.path_like)}%"
    return where, given


def like(text: str) -> str:
    """Return the LIKE pattern that a text alone matches."""
    return _LIKE_SPECIAL.sub(r"\\\g<0>", text)


def page_sql(query: HistoryQuery) -> tuple[str, dict[str, Any]]:
    """Return the query for one page and one row more, which tells whether there is a next."""
    where, parameters = where_sql(query.filters)
    parameters |= {"rows": query.size + 1, "offset": (query.page - 1) * query.size}
    if query.after is not None:
        where = f"{where} AND {AFTER}"
        parameters |= {"after_us": query.after.occurred_us, "after_id": query.after.event_id}
    sql = (
        f"SELECT {COLUMNS} FROM events WHERE {where}"  # noqa: S608  our own clauses; values are bound
        " ORDER BY occurred DESC, event_id LIMIT {rows:UInt64} OFFSET {offset:UInt64}"
    )
    return sql, parameters


def item(row: Row, runs: Iterable[Run] = ()) -> dict[str, Any]:
    """Return an event as history shows it, with the runs that it triggered; what is unknown is left out."""
    known = {name: value for name, value in _texts_and_flags(row).items() if value}
    known |= {name: value for name, value in _numbers(row).items() if value is not None}
    details = msgspec.json.decode(row.details) if row.details else {}
    return details | _always(row, runs) | known


def _always(row: Row, runs: Iterable[Run]) -> dict[str, Any]:
    return {
        "eventId": row.event_id,
        "projectId": row.project_id,
        "filename": row.path,
        "event": row.event,
        "filesize": row.size,
        "timestampUtc": iso(row.occurred_us * 1000),
        "sentAt": iso(row.sent_us * 1000),
        "receivedAt": iso(row.received_us * 1000),
        "host": row.host,
        "agent": row.agent,
        "source": row.source,
        "duplicate": row.duplicate,
        "workflows": [{"name": run.workflow, "state": run.state} for run in runs],
    }


def _texts_and_flags(row: Row) -> dict[str, Any]:
    """Return what is unknown where it is empty or false."""
    return {
        "renamedTo": row.renamed_to,
        "moved": row.moved,
        "isDir": row.is_dir,
        "filetype": row.filetype,
        "sha256": row.sha256_hex,
        "previousSha256": row.previous_sha256_hex,
        "hashStatus": row.hash_status,
        "exe": row.exe,
        "changed": row.changed,
        "fileId": str(row.file_id) if row.file_id else "",
        "keyId": row.key_id,
        "late": row.late,
    }


def _numbers(row: Row) -> dict[str, int | None]:
    return {
        "uid": row.uid,
        "pid": row.pid,
        "ownerUid": row.owner_uid,
        "ownerGid": row.owner_gid,
        "mode": row.mode,
        "mtimeNs": row.mtime_ns,
    }
