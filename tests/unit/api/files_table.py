"""The table `files` in memory: what the virtual tree asks of the database, for tests."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

_EMPTY = {
    "project_id": "proj_1",
    "is_dir": False,
    "size": None,
    "mode": None,
    "owner_uid": None,
    "owner_gid": None,
    "mtime_ns": None,
    "birth_ns": None,
    "acl": "",
    "flags": [],
    "file_id": 0,
    "occurred_us": 0,
}


class Rows:
    """A database in memory: rows of `files` by project and path."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = [{**_EMPTY, **row} for row in rows]
        self.asked: list[str] = []
        self.at_one_time = 0
        self.appear_after = 0

    async def rows(self, sql: str, parameters: dict[str, Any], row: type, _settings: dict[str, Any]) -> Any:
        self.asked.append(sql)
        self.at_one_time += 1
        assert self.at_one_time <= 3, "one question of a kind at a time"
        await asyncio.sleep(0)
        self.at_one_time -= 1
        hidden = len(self.asked) <= self.appear_after
        return msgspec.convert([] if hidden else self._found(sql, parameters), list[row])  # type: ignore[valid-type]

    def _found(self, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if "UNION" in sql or "{from0" in sql:
            numbers = range(len(parameters) // 3)
            return [{"number": number} for number in numbers if self._has_below(parameters, number)]
        if "arrayZip" in sql:
            asked = set(zip(parameters["projects"], parameters["paths"], strict=True))
            return [each for each in self._rows if (each["project_id"], each["path"]) in asked]
        ids = parameters.get("ids", [0])
        mine = [each for each in self._rows if each["project_id"] in parameters["projects"]]
        return [each for each in mine if each["file_id"] in ids]

    def _has_below(self, parameters: dict[str, Any], number: int) -> bool:
        project, lowest, end = (parameters[f"{name}{number}"] for name in ("in", "from", "to"))
        return any(each["project_id"] == project and lowest < each["path"] < end for each in self._rows)
