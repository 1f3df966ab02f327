"""Parameters of a history request in, filters and page out; what is out of range is named. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from agent.paths import MAX_PATH_BYTES
from api import cursor
from api.cursor import Place
from api.event_form import MAX_NAME_CHARS, event_name
from api.fields import Fields, sha256, sized_text
from api.timestamps import parse_us

DEFAULT_SIZE = 50
MAX_SIZE = 200
MAX_PAGE = 10**14
_DIGITS = re.compile(r"[0-9]{1,15}")


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of a project a reader wants; None does not filter. Times are Unix microseconds."""

    project: str
    event: str | None = None
    path_like: str | None = None
    from_us: int | None = None
    """The first moment that counts."""
    to_us: int | None = None
    """The first moment that no longer counts."""
    sha256: str | None = None
    host: str | None = None

    def scope(self) -> bytes:
        """Return what a cursor of this query is bound to."""
        return msgspec.json.encode(self)


class HistoryQuery(NamedTuple):
    """One page of a project's history: it begins behind the place `after`, or at its offset."""

    filters: Filters
    size: int
    page: int
    after: Place | None


def read(given: dict[str, str], project: str) -> HistoryQuery:
    """Return the query that the parameters ask for; FieldsRefused names each that breaks a rule."""
    fields = Fields(given)
    filters = Filters(
        project=project,
        event=fields.optional("event", event_name),
        path_like=fields.optional("pathLike", _path_like),
        from_us=fields.optional("from", _time),
        to_us=fields.optional("to", _time),
        sha256=fields.optional("sha256", sha256),
        host=fields.optional("host", sized_text(1, MAX_NAME_CHARS)),
    )
    size = fields.optional("size", lambda value: integer(value, MAX_SIZE)) or DEFAULT_SIZE
    page = fields.optional("page", lambda value: integer(value, MAX_PAGE)) or 1
    if filters.from_us is not None and filters.to_us is not None and filters.from_us > filters.to_us:
        fields.refuse("to", "must not be before from")
    if page != 1 and "cursor" in given:
        fields.refuse("page", "must not be given with a cursor")
    fields.check()
    after = fields.optional("cursor", lambda value: cursor.decode(value, filters.scope()))
    fields.check()
    return HistoryQuery(filters, size, page, after)


def integer(value: str, most: int) -> int:
    """Rule: an integer from 1 to `most`."""
    if not _DIGITS.fullmatch(value) or not 1 <= int(value) <= most:
        raise ValueError(f"must be an integer from 1 to {most}")
    return int(value)


def _path_like(value: Any) -> str | None:
    if len(value.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"must be at most {MAX_PATH_BYTES} bytes")
    return value or None


def _time(value: str) -> int:
    # An unescaped `+` of an offset arrives as a space.
    return parse_us(value.replace(" ", "+") if "T" in value else value)
