"""Moments: Unix nanoseconds in, ISO 8601 in UTC with microseconds out, fast enough for every event."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_SECOND_NS = 1_000_000_000
_MILLISECOND_NS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIRST_YEAR, _LAST_YEAR = 1900, 2299
_BLANK_OFFSET = re.compile(r"(?<=[0-9]) ([0-9]{2}:[0-9]{2})$")

EARLIEST_NS = int((datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND_NS
LATEST_NS = int((datetime(2300, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND_NS - 1
"""What ClickHouse's DateTime64 holds, and what an event may carry: the years 1900 to 2299."""


_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))
"""Looked up in less time than formatted."""


@lru_cache(maxsize=4096)
def _until_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def iso(nanoseconds: int) -> str:
    """Return a moment as `2026-11-21T01:20:00.123456Z`; what is below a microsecond is cut off."""
    seconds, rest = divmod(nanoseconds, _SECOND_NS)
    return f"{_until_second(seconds)}.{_THREE_DIGITS[rest // 1_000_000]}{_THREE_DIGITS[rest // 1000 % 1000]}Z"


@lru_cache(maxsize=16)
def iso_of_ms(milliseconds: int) -> str:
    """Return a broker's timestamp in the form of `iso`; many records in a row have the same."""
    return iso(milliseconds * _MILLISECOND_NS)


def canonical(text: str) -> str:
    """Return an ISO 8601 date, or date and time, in the form of `iso`; without an offset it is UTC.

    ValueError, for people to read, where it is none or lies outside the years 1900 to 2299. A blank before
    the offset is a `+` that a URL turned into one.
    """
    try:
        moment = datetime.fromisoformat(_offset_restored(text.strip()))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 date and time") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _offset_restored(text: str) -> str:
    return _BLANK_OFFSET.sub(r"+\1", text) if "T" in text.upper() else text
