"""Parameters of an export in, filters and the span of it out; the queries that its pages become. Pure.

Any row that a client has is a place to go on from: `cursor` is its `timestampUtc`, a slash and its `eventId`,
or the `next` of a page of history.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from api import history_query
from api.cursor import Place
from api.fields import Fields
from api.history import AFTER, where_sql
from api.history_query import Filters
from api.timestamps import parse_us
from processors.instants import iso

MAX_ROWS = 10**12
MAX_EVENT_ID_CHARS = 128
PAGE_ROWS = 25_000
"""Some 15 MB as JSON, that wait in the database while a client takes them."""
PAGES_AHEAD = 20
"""Whose ends one query finds."""
_UNTIL = (
    "occurred >= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')"
    " AND (occurred > fromUnixTimestamp64Micro({until_us:Int64}, 'UTC') OR event_id <= {until_id:String})"
)
_ORDER = "ORDER BY occurred DESC, event_id"
"""The same as history's."""
_COLUMNS = """
    occurred AS timestampUtc, event_id AS eventId, project_id AS projectId, event, path AS filename,
    nullIf(renamed_to, '') AS renamedTo, size AS filesize, nullIf(filetype, '') AS filetype,
    if(sha256 = toFixedString('', 32), NULL, lower(hex(sha256))) AS sha256,
    if(previous_sha256 = toFixedString('', 32), NULL, lower(hex(previous_sha256))) AS previousSha256,
    nullIf(hash_status, '') AS hashStatus, uid, pid, nullIf(exe, '') AS exe, owner_uid AS ownerUid,
    owner_gid AS ownerGid, mode, mtime_ns AS mtimeNs, is_dir AS isDir, nullIf(moved, '') AS moved,
    {changed} AS changed,
    if(file_id = 0, NULL, toString(file_id)) AS fileId, host, agent, source, duplicate, late,
    nullIf(key_id, '') AS keyId, sent AS sentAt, received AS receivedAt, nullIf(details, '') AS details
"""


class Span(NamedTuple):
    """A part of a history, newest first: it begins behind `after` and ends with `until`; None: its ends."""

    after: Place | None = None
    until: Place | None = None


class ExportQuery(NamedTuple):
    """What a client wants: at most `rows` of the events that the filters let through, behind `after`."""

    filters: Filters
    after: Place | None
    rows: int | None


def read(given: dict[str, str], project: str) -> ExportQuery:
    """Return what the parameters ask for; FieldsRefused names each that breaks a rule."""
    fields = Fields(given)
    for name in ("page", "size"):
        if name in given:
            fields.refuse(name, "is for pages of history: an export takes rows and cursor")
    rows = fields.optional("rows", lambda value: history_query.integer(value, MAX_ROWS))
    own = given.get("cursor", "") if "/" in given.get("cursor", "") else None
    after = fields.optional("cursor", place_of_row) if own is not None else None
    fields.check()
    asked = {name: value for name, value in given.items() if own is None or name != "cursor"}
    query = history_query.read(asked, project)
    return ExportQuery(query.filters, after or query.after, rows)


def place_of_row(text: str) -> Place:
    """Return the place of the row with this `timestampUtc/eventId`; ValueError where it is none."""
    time, _, event_id = text.partition("/")
    if not 1 <= len(event_id) <= MAX_EVENT_ID_CHARS:
        raise ValueError("must be a timestampUtc, a slash and an eventId")
    return Place(parse_us(time), event_id)


def cursor_of_row(place: Place) -> str:
    """Return what `place_of_row` reads."""
    return f"{iso(place.occurred_us * 1000)}/{place.event_id}"


def page_sql(filters: Filters, span: Span, changed: str = "changed") -> tuple[str, dict[str, Any]]:
    """Return the query for the events of a span; `changed` is the expression of that column."""
    where, parameters = _span_sql(filters, span)
    columns = _COLUMNS.format(changed=changed)
    return f"SELECT {columns} FROM events WHERE {where} {_ORDER}", parameters  # noqa: S608  our own clauses


def ends_sql(filters: Filters, span: Span) -> tuple[str, dict[str, Any]]:
    """Return the query for the last places of the next pages of a span, those that are full."""
    where, parameters = _span_sql(filters, span)
    rows = f"SELECT occurred, event_id FROM events WHERE {where} {_ORDER} LIMIT {{rows:UInt64}}"  # noqa: S608  as above
    parameters |= {"rows": PAGES_AHEAD * PAGE_ROWS, "page_rows": PAGE_ROWS}
    return (
        f"SELECT toUnixTimestamp64Micro(occurred) AS occurred_us, event_id FROM ({rows})"  # noqa: S608  as above
        " WHERE (rowNumberInAllBlocks() + 1) % {page_rows:UInt64} = 0",
        parameters,
    )


def place_sql(query: ExportQuery) -> tuple[str, dict[str, Any]]:
    """Return the query for the place of the last row that is wanted; none where there are fewer."""
    where, parameters = _span_sql(query.filters, Span(query.after))
    assert query.rows is not None
    return (
        f"SELECT toUnixTimestamp64Micro(occurred) AS occurred_us, event_id FROM events WHERE {where}"  # noqa: S608
        f" {_ORDER} LIMIT 1 OFFSET {{before:UInt64}}",
        parameters | {"before": query.rows - 1},
    )


def _span_sql(filters: Filters, span: Span) -> tuple[str, dict[str, Any]]:
    where, parameters = where_sql(filters)
    if span.after is not None:
        where = f"{where} AND {AFTER}"
        parameters |= {"after_us": span.after.occurred_us, "after_id": span.after.event_id}
    if span.until is not None:
        where = f"{where} AND {_UNTIL}"
        parameters |= {"until_us": span.until.occurred_us, "until_id": span.until.event_id}
    return where, parameters
