"""Times that clients send: ISO 8601 in, Unix microseconds out. `processors.instants` writes them again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

FIRST_YEAR = 1900
LAST_YEAR = 2299
"""ClickHouse's DateTime64 holds these years and no others."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHAPE = re.compile(r"[0-9W-]{7,10}[T ][0-9:.,]{2,24}(Z|[+-][0-9:]{2,8})?", re.IGNORECASE)


def parse_us(text: str) -> int:
    """Return the Unix time in microseconds of an ISO 8601 date and time; a naive one is UTC.

    Digits below a microsecond are cut off. ValueError, for people to read, where it is none or lies outside
    the years 1900 to 2299.
    """
    if not _SHAPE.fullmatch(text):
        raise ValueError("must be an ISO 8601 date and time")
    try:
        moment = datetime.fromisoformat(text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 date and time") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return (moment - _EPOCH) // _MICROSECOND
