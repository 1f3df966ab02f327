"""Moments: Unix nanoseconds in, ISO 8601 in UTC with microseconds out, fast enough for every event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_SECOND_NS = 1_000_000_000
_MILLISECOND_NS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST_NS = int((datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND_NS
LATEST_NS = int((datetime(2300, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND_NS - 1
"""What ClickHouse's DateTime64 holds, and what an event may carry: the years 1900 to 2299."""


@lru_cache(maxsize=4096)
def _until_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def iso(nanoseconds: int) -> str:
    """Return a moment as `2026-11-21T01:20:00.123456Z`; what is below a microsecond is cut off."""
    seconds, rest = divmod(nanoseconds, _SECOND_NS)
    return f"{_until_second(seconds)}.{rest // 1000:06d}Z"


def iso_of_ms(milliseconds: int) -> str:
    """Return a broker's timestamp in the form of `iso`."""
    return iso(milliseconds * _MILLISECOND_NS)


def clamp(nanoseconds: int) -> int:
    """Return the nearest moment that an event may carry."""
    return min(max(nanoseconds, EARLIEST_NS), LATEST_NS)
