"""The queries for what stands in a directory, now and at a moment in the past.

Now is what `files` says. Then is what `events` tell, by the names that the directory had (`lineage`): of each
name in it the last event up to the moment. Where there is none, the name was there before anybody told of it
(found by an agent's first scan): it stood there if the first event after the moment is no arrival, or if
`files` has it from before. What left with its directory before anything was told of it cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.pages.lineage import Segment, is_there_still

MAX_SEGMENTS = 16
"""Names of a directory, on either side of the moment, that are looked at; others are left out."""
_FIRST_US, _LAST_US = -2_208_988_800_000_000, 10_413_791_999_999_999
"""What DateTime64(6) can hold: 1900 to 2299."""
_UNKNOWN = "toFixedString('', 32)"
_STATE = "mode, owner_uid, owner_gid, mtime_ns, toUnixTimestamp64Micro(occurred), event_id, host"
_AT = "(toUnixTimestamp64Micro(occurred), toInt64(raw_offset), toInt64(raw_index))"
_PAGE = """(NOT directory, name) > ({after_file:UInt8}, {after_name:String})
ORDER BY NOT directory, name
LIMIT {rows:UInt32}
"""
_NOW = f"""
SELECT name, max(is_dir OR deeper) AS directory, 'known' AS evidence,
    sumIf(ifNull(size, 0), NOT is_dir) AS size, countIf(NOT is_dir) AS files,
    anyIf(if(sha256 = {_UNKNOWN}, '', lower(hex(sha256))), NOT deeper) AS sha256,
    anyIf(tuple({_STATE}), NOT deeper) AS state
FROM
(
    SELECT *, substring(path, length({{prefix:String}}) + 1) AS rest, substringIndex(rest, '/', 1) AS name,
        position(rest, '/') > 0 AS deeper
    FROM files FINAL
    WHERE project_id = {{project:String}} AND startsWith(path, {{prefix:String}}) AND path != ''
)
GROUP BY name
HAVING {_PAGE}"""  # noqa: S608  our own clauses; values are bound
_KEPT = f"""
    SELECT substring(path, length({{kept:String}}) + 1) AS rest,
        (0, toInt64(0), toInt64(0), toInt64(0)) AS rank, true AS there, is_dir, size, sha256,
        tuple({_STATE}) AS state, emptyArrayString() AS changed, {_UNKNOWN} AS former_sha256, '' AS former
    FROM files FINAL
    WHERE project_id = {{project:String}} AND startsWith(path, {{kept:String}}) AND path != ''
        AND position(rest, '/') = 0 AND occurred <= fromUnixTimestamp64Micro({{then_us:Int64}}, 'UTC')
"""  # noqa: S608
_TOLD = f"""
    SELECT substring(COLUMN, length({{N_prefix:String}}) + 1) AS rest, RANK AS rank, THERE AS there, is_dir,
        toNullable(size) AS size, sha256, tuple({_STATE}) AS state,
        arrayMap(each -> toString(each), changed) AS changed, previous_sha256 AS former_sha256,
        JSONExtractRaw(details, 'previous') AS former
    FROM events
    WHERE project_id = {{project:String}} AND startsWith(COLUMN, {{N_prefix:String}}) AND COLUMN != ''
        AND EVENTS AND (source = 'http' OR position(rest, '/') = 0)
        AND {_AT} > {{N_after:Tuple(Int64, Int64, Int64)}} AND {_AT} <= {{N_until:Tuple(Int64, Int64, Int64)}}
        AND occurred >= fromUnixTimestamp64Micro({{N_first_us:Int64}}, 'UTC')
        AND occurred <= fromUnixTimestamp64Micro({{N_last_us:Int64}}, 'UTC')
"""  # noqa: S608
_TELLING = "event IN ('created', 'modified', 'written', 'attributes', 'deleted', 'renamed')"
_LEAVES = "(event = 'deleted' OR (event = 'renamed' AND renamed_to != ''))"
_BEFORE, _AFTER = f"tupleConcat(tuple(2), {_AT})", f"tupleConcat(tuple(1), tupleNegate({_AT}))"
_ROLES = (
    {"COLUMN": "path", "EVENTS": _TELLING, "RANK": _BEFORE, "THERE": f"NOT {_LEAVES}"},
    {"COLUMN": "renamed_to", "EVENTS": "event = 'renamed'", "RANK": _BEFORE, "THERE": "true"},
    {"COLUMN": "path", "EVENTS": _TELLING, "RANK": _AFTER, "THERE": "event != 'created'"},
    {"COLUMN": "renamed_to", "EVENTS": "event = 'renamed'", "RANK": _AFTER, "THERE": "false"},
)
"""An event tells of its path, a rename also of the name that it gave: before the moment, and after it."""
_THEN = f"""
SELECT name, anyIf(picked.3, NOT deeper) OR evidence = 'implied' AS directory,
    multiIf(
        maxIf(picked.1.1 = 2 AND picked.2, NOT deeper), 'known',
        maxIf(picked.1, deeper AND picked.2 AND picked.1.1 = 2)
            > maxIf(picked.1, NOT deeper AND picked.1.1 = 2), 'implied',
        maxIf(picked.1.1 = 1 AND picked.2, NOT deeper), 'later',
        maxIf(picked.1.1 = 0, NOT deeper), 'kept',
        '') AS evidence,
    anyIf(picked.4, NOT deeper) AS size, toUInt64(0) AS files,
    anyIf(if(content = {_UNKNOWN}, '', lower(hex(content))), NOT deeper) AS sha256,
    anyIf(picked.6, NOT deeper) AS state, anyIf(picked.7, NOT deeper) AS changed,
    anyIf(if(picked.8 = {_UNKNOWN}, '', lower(hex(picked.8))), NOT deeper) AS former_sha256,
    anyIf(picked.9, NOT deeper) AS former
FROM
(
    SELECT rest, substringIndex(rest, '/', 1) AS name, position(rest, '/') > 0 AS deeper,
        argMax(tuple(rank, there, is_dir, size, sha256, state, changed, former_sha256, former), rank)
            AS picked,
        maxIf(rank, rank.1 = 2 AND sha256 != {_UNKNOWN}) AS hashed_at,
        maxIf(rank, rank.1 = 2 AND NOT there) AS gone_at,
        if(picked.1.1 = 2 AND hashed_at >= gone_at, argMaxIf(sha256, rank, sha256 != {_UNKNOWN}), picked.5)
            AS content
    FROM (TOLD)
    GROUP BY rest
)
GROUP BY name
HAVING evidence != '' AND {_PAGE}"""  # noqa: S608


Query = tuple[str, dict[str, Any]]
"""SQL, and the parameters that it binds."""


def now(project: str, directory: str, after: tuple[bool, str], rows: int) -> Query:
    """Return the query for what is in a directory now.

    `after`: the entry seen last: whether it is a file, and its name; directories come first.
    """
    return _NOW, _bounds(project, after, rows) | {"prefix": prefix(directory)}


def then(
    project: str, former: list[Segment], later: list[Segment], after: tuple[bool, str], rows: int
) -> Query:
    """Return the query for what was in a directory at the moment between `former` and `later` names."""
    parameters = _bounds(project, after, rows)
    selects = []
    for number, (segment, is_former) in enumerate(_told(former, later)):
        parameters |= {f"s{number}_{name}": value for name, value in _segment(segment).items()}
        roles = _ROLES[:2] if is_former else _ROLES[2:]
        selects += [_filled(_TOLD, {"N_": f"s{number}_"} | role) for role in roles]
    if later and is_there_still(later):
        parameters |= {"kept": prefix(later[-1].name), "then_us": _held(later[0].after.occurred_us)}
        selects.append(_KEPT)
    return _THEN.replace("TOLD", " UNION ALL ".join(selects)), parameters


def prefix(directory: str) -> str:
    """Return what the paths of all that is in a directory begin with."""
    return f"{directory}/" if directory else ""


def _told(former: list[Segment], later: list[Segment]) -> Iterator[tuple[Segment, bool]]:
    yield from ((segment, True) for segment in former[:MAX_SEGMENTS])
    yield from ((segment, False) for segment in later[:MAX_SEGMENTS])


def _bounds(project: str, after: tuple[bool, str], rows: int) -> dict[str, Any]:
    is_file, name = after
    return {"project": project, "after_file": int(is_file), "after_name": name, "rows": rows}


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "prefix": prefix(segment.name),
        "after": segment.after,
        "until": segment.until,
        "first_us": _held(segment.after.occurred_us),
        "last_us": _held(segment.until.occurred_us),
    }


def _held(occurred_us: int) -> int:
    return min(max(occurred_us, _FIRST_US), _LAST_US)


def _filled(template: str, words: dict[str, str]) -> str:
    for word, text in words.items():
        template = template.replace(word, text)
    return template
