"""What a file's page asks the database: first where things were told of it, then the rows that are shown.

A projection of the table has the offsets of a path in their order, so that the newest are found without
reading others; each row costs a granule then. Renames to a name are found by an index of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from api import history
from api.pages.lineage import Moment, Segment, Turn
from api.pages.parts import Parts

MAX_NAMES = 32
"""Former names that are looked at, the last ones."""
_PLACES = """
SELECT kafka_offset FROM events
WHERE project_id = {project:String} AND path = {path:String} AND kafka_offset < {before:UInt64}
ORDER BY kafka_offset DESC LIMIT 200
"""
_TOLD = """
SELECT kafka_offset, toUnixTimestamp64Micro(occurred) AS at_us, raw_offset, raw_index, event, path, renamed_to
FROM events
WHERE project_id = {project:String} AND kafka_offset < {before:UInt64} AND WHAT
ORDER BY kafka_offset DESC LIMIT 200
"""
_CAME = "event = 'renamed' AND renamed_to IN {names:Array(String)}"
_LEFT = "path IN {names:Array(String)} AND event IN ('deleted', 'renamed')"
_AT = "(toUnixTimestamp64Micro(occurred), toInt64(raw_offset), toInt64(raw_index))"
_ROWS = f"""
SELECT {history.COLUMNS} FROM events
WHERE project_id = {{project:String}} AND kafka_offset IN {{offsets:Array(UInt64)}}
ORDER BY kafka_offset DESC
"""  # noqa: S608  our own columns
_NOW = """
SELECT is_dir, size, filetype, if(sha256 = toFixedString('', 32), '', lower(hex(sha256))) AS sha256_hex, mode,
    owner_uid, owner_gid, intDiv(mtime_ns, 1000) AS mtime_us, intDiv(birth_ns, 1000) AS birth_us, acl, flags,
    host, toUnixTimestamp64Micro(occurred) AS told_us
FROM files FINAL WHERE project_id = {project:String} AND path = {path:String}
"""
_ELSEWHERE = """
SELECT project_id, path, host, size, toUnixTimestamp64Micro(occurred) AS told_us
FROM files FINAL
WHERE (project_id, path) IN
    (SELECT project_id, path FROM files WHERE sha256 = toFixedString(unhex({sha256:String}), 32) AND READER)
    AND sha256 = toFixedString(unhex({sha256:String}), 32)
    AND NOT (project_id = {project:String} AND path = {path:String})
ORDER BY told_us DESC LIMIT 20
"""


class Told(msgspec.Struct, frozen=True):
    """Where something was told of a file, and what it means for its names."""

    kafka_offset: int
    at_us: int
    raw_offset: int
    raw_index: int
    event: str
    path: str
    renamed_to: str

    @property
    def turn(self) -> Turn:
        """Return what it means for the names of files."""
        at = Moment(self.at_us, self.raw_offset, self.raw_index)
        return Turn(at, self.path, (self.renamed_to or None) if self.event == "renamed" else None)


class _Place(msgspec.Struct):
    kafka_offset: int


class State(msgspec.Struct):
    """What is at the path now."""

    is_dir: bool
    size: int | None
    filetype: str
    sha256_hex: str
    mode: int | None
    owner_uid: int | None
    owner_gid: int | None
    mtime_us: int | None
    birth_us: int | None
    acl: str
    flags: list[str]
    host: str
    told_us: int


class Copy(msgspec.Struct):
    """Another file with the same content."""

    project_id: str
    path: str
    host: str
    size: int | None
    told_us: int


class FileQueries:
    """The queries about one path of a project; what was told comes newest first, from below `before`."""

    def __init__(self, parts: Parts, project: str, path: str, before: int) -> None:
        self._parts = parts
        self._path = {"project": project, "path": path}
        self._bounds = {"project": project, "before": before}

    async def own(self) -> list[int]:
        """Return the offsets of what was told under the path itself."""
        found = await self._parts.rows(_PLACES, self._path | self._bounds, _Place)
        return [place.kafka_offset for place in found]

    async def came(self, names: Iterable[str]) -> list[Told]:
        """Return what was renamed to these names."""
        return await self._told(_CAME, {"names": sorted(names)})

    async def left(self, names: Iterable[str]) -> list[Told]:
        """Return what was deleted at these names, or renamed from them."""
        return await self._told(_LEFT, {"names": sorted(names)})

    async def under(self, names: Sequence[Segment]) -> list[Told]:
        """Return what was told under these names in their times."""
        return await self._told(*_within(names[:MAX_NAMES])) if names else []

    async def rows(self, offsets: Sequence[int]) -> list[history.Row]:
        """Return the events at these offsets with all that is known of them."""
        parameters = self._path | {"offsets": offsets}
        return await self._parts.rows(_ROWS, parameters, history.Row) if offsets else []

    async def state(self) -> State | None:
        """Return what is at the path now, None where nothing is."""
        found = await self._parts.rows(_NOW, self._path, State)
        return found[0] if found else None

    async def elsewhere(self, sha256_hex: str, rows: str) -> list[Copy]:
        """Return other files with a content, of the projects that `rows` lets a reader see; of none, none."""
        if not sha256_hex:
            return []
        sql = _ELSEWHERE.replace("READER", rows)
        return await self._parts.rows(sql, self._path | {"sha256": sha256_hex}, Copy)

    async def _told(self, what: str, parameters: dict[str, Any]) -> list[Told]:
        return await self._parts.rows(_TOLD.replace("WHAT", what), parameters | self._bounds, Told)


def _within(names: Sequence[Segment]) -> tuple[str, dict[str, Any]]:
    """Return the condition for what was told under these names in their times."""
    parameters: dict[str, Any] = {"names": sorted({segment.name for segment in names})}
    conditions = []
    for number, segment in enumerate(names):
        parameters |= {
            f"name{number}": segment.name,
            f"after{number}": segment.after,
            f"until{number}": segment.until,
        }
        conditions.append(
            f"path = {{name{number}:String}} AND {_AT} > {{after{number}:Tuple(Int64, Int64, Int64)}}"
            f" AND {_AT} <= {{until{number}:Tuple(Int64, Int64, Int64)}}"
        )
    told = " OR ".join(f"({condition})" for condition in conditions)
    return f"path IN {{names:Array(String)}} AND ({told})", parameters
