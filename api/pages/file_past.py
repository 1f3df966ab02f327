"""A file's past, put together: what was told of it, newest first, and by contents and by who did it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from api.pages import file_names, lineage
from api.pages.file_queries import FileQueries, Told
from api.pages.lineage import Segment, Turn

MAX_ROUNDS = 8
"""How often renames of former names are looked for."""
MOST_SHOWN = 30
"""Contents, and who; the last ones."""
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


async def told_of(queries: FileQueries, path: str) -> tuple[list[Told], list[str]]:
    """Return what was told of a path and of what came to it, newest first; and the former names."""
    lines = file_names.lines(path)
    own, came = await asyncio.gather(queries.own(), queries.came(lines))
    names = await _former(queries, path, came)
    came = [each for each in came if each.renamed_to == path]
    found = {each.kafka_offset: each for each in [*own, *came, *await queries.under(names)]}
    former = dict.fromkeys(segment.name for segment in names if segment.name not in lines)
    return [found[offset] for offset in sorted(found, reverse=True)], list(former)


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


def contents(told: Iterable[Told]) -> list[Content]:
    """Return the contents that were seen, the last first."""
    seen: dict[str, Content] = {}
    for each in told:
        if each.sha256_hex and each.event in _WITH_CONTENT:
            last = seen.get(each.sha256_hex) or Content(each.sha256_hex, each.size, 0, 0, each.at_us)
            seen[each.sha256_hex] = last._replace(events=last.events + 1, first_us=each.at_us)
    return list(seen.values())[:MOST_SHOWN]


def who(told: Iterable[Told]) -> list[Who]:
    """Return who did something to the file, the last first."""
    seen: dict[tuple[int | None, str, str], Who] = {}
    for each in told:
        by = (each.uid, each.exe, each.key_id)
        if by != (None, "", ""):
            last = seen.get(by) or Who(*by, events=0, last_us=each.at_us)
            seen[by] = last._replace(events=last.events + 1)
    return list(seen.values())[:MOST_SHOWN]
