"""A list of the file monitor: query string in, the page and its `meta` out. Pure; raises BadRequest."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from api.errors import BadRequest
from api.filemonitor_answers import shown
from api.filemonitor_form import RESOURCE
from api.filemonitor_schema import DEFAULT_LIMIT, MAX_LIMIT
from processors import transfer_filters, transfer_order
from processors.transfer_filters import FilterRefused, Filters, Pairs
from processors.transfer_records import Transfer

MAX_PARAMETERS = 1000
_LARGEST = 2**63 - 1
_MANY = 2_000
"""Rows that are looked through in a millisecond."""
_NUMBER = re.compile(r"\s*\+?[0-9]{1,19}\s*")


class Wanted(NamedTuple):
    """A list that a query asks for."""

    filters: Filters
    order: list[transfer_order.Key]
    limit: int
    offset: int
    others: list[tuple[str, str]]
    """Parameters that the pages before and after have as well."""


def pairs_of(query_string: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query, in their order."""
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise BadRequest(f"The query must be UTF-8, of at most {MAX_PARAMETERS} parameters.") from None


def wanted(pairs: Pairs) -> Wanted:
    """Return the list that a query asks for."""
    last = dict(pairs)
    ordering = "order_by" if "order_by" in last else "sort_by"
    try:
        filters = transfer_filters.parse(pairs)
        order = transfer_order.parse([value for name, value in pairs if name == ordering])
    except FilterRefused as error:
        raise BadRequest(str(error)) from None
    limit = _number("limit", last.get("limit", str(DEFAULT_LIMIT)))
    return Wanted(
        filters,
        order,
        min(limit or MAX_LIMIT, MAX_LIMIT),
        _number("offset", last.get("offset", "0")),
        [(name, value) for name, value in pairs if name not in ("limit", "offset")],
    )


def checked_filters(pairs: Pairs) -> None:
    """Refuse a query whose filters are none."""
    try:
        transfer_filters.parse(pairs)
    except FilterRefused as error:
        raise BadRequest(str(error)) from None


async def paged(rows: list[Transfer], asked: Wanted) -> dict[str, Any]:
    """Return the answer of `page`, made on a thread where that takes long."""
    if len(rows) > _MANY:
        return await asyncio.to_thread(page, rows, asked)
    return page(rows, asked)


def page(rows: list[Transfer], asked: Wanted) -> dict[str, Any]:
    """Return the answer; `rows` are all transfers, the newest first."""
    matching = asked.filters.select(rows)
    end = asked.offset + asked.limit
    sorted_rows = transfer_order.first(matching, asked.order, end)
    return {
        "meta": {
            "limit": asked.limit,
            "next": _uri(asked, end) if end < len(matching) else None,
            "offset": asked.offset,
            "previous": _uri(asked, asked.offset - asked.limit) if asked.offset >= asked.limit else None,
            "total_count": len(matching),
        },
        "objects": [shown(row) for row in sorted_rows[asked.offset : end]],
    }


def _uri(asked: Wanted, offset: int) -> str:
    paging = [("offset", str(offset)), ("limit", str(asked.limit))]
    return f"{RESOURCE}?{urlencode([*paging, *asked.others])}"


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST:
        raise BadRequest(f"Invalid {name} '{text[:40]}' provided. Please provide a positive integer >= 0.")
    return int(text)
