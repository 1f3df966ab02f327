"""A file's past, put together: where it was told, newest first; by contents, and by who did it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from api.history import Row
from api.pages import file_names, lineage
from api.pages.file_queries import FileQueries, Told
from api.pages.lineage import Segment, Turn

MAX_ROUNDS = 8
"""How often renames of former names are looked for."""
_WITH_CONTENT = frozenset(("created", "modified", "written", "renamed", "deleted"))


class Content(NamedTuple):
    """A content that was seen, by its digest."""

    sha256_hex: str
    size: int
    events: int
    first_us: int
    last_us: int


class Who(NamedTuple):
    """Somebody who did something to the file."""

    uid: int | None
    exe: str
    key_id: str
    events: int
    last_us: int


async def told_of(queries: FileQueries, path: str) -> tuple[list[int], list[str]]:
    """Return where a path was told of, and what came to it: offsets, newest first; and former names."""
    lines = file_names.lines(path)
    own, came = await asyncio.gather(queries.own(), queries.came(lines))
    names = await _former(queries, path, came)
    arrived = [each.kafka_offset for each in came if each.renamed_to == path]
    under = [each.kafka_offset for each in await queries.under(names)]
    former = dict.fromkeys(segment.name for segment in names if segment.name not in lines)
    return sorted({*own, *arrived, *under}, reverse=True), list(former)


async def _former(queries: FileQueries, path: str, renames: list[Told]) -> list[Segment]:
    """Return the former names, whose own former names are looked for until there is no new one."""
    turns = {each.turn for each in renames}
    segments, looked_at = file_names.former(path, turns), {path}
    for _ in range(MAX_ROUNDS):
        new = {segment.name for segment in segments} - looked_at
        if not new:
            break
        looked_at |= new
        turns |= await _turns(queries, new)
        segments = file_names.former(path, turns)
    return segments


async def _turns(queries: FileQueries, names: set[str]) -> set[Turn]:
    """Return the turns of names that are looked at for the first time."""
    lines = {line for name in names for line in lineage.lines(name)}
    found = await asyncio.gather(queries.left(lines), queries.came(lines))
    return {each.turn for told in found for each in told}


def contents(rows: Iterable[Row]) -> list[Content]:
    """Return the contents that were seen, the last first."""
    seen: dict[str, Content] = {}
    for row in rows:
        if row.sha256_hex and row.event in _WITH_CONTENT:
            last = seen.get(row.sha256_hex) or Content(row.sha256_hex, row.size, 0, 0, row.occurred_us)
            seen[row.sha256_hex] = last._replace(events=last.events + 1, first_us=row.occurred_us)
    return list(seen.values())


def who(rows: Iterable[Row]) -> list[Who]:
    """Return who did something to the file, the last first."""
    seen: dict[tuple[int | None, str, str], Who] = {}
    for row in rows:
        by = (row.uid, row.exe, row.key_id)
        if by != (None, "", ""):
            last = seen.get(by) or Who(*by, events=0, last_us=row.occurred_us)
            seen[by] = last._replace(events=last.events + 1)
    return list(seen.values())
