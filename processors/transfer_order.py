"""The order of a list of transfers: `order_by` in, sorted rows out. Pure.

Nulls stand last, and first where the order descends, as in PostgreSQL. What is equal keeps the order in which
it came: the newest id first.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from itertools import compress, repeat
from typing import NamedTuple

from processors.transfer_filters import FIELDS, NULLABLE, FilterRefused, those
from processors.transfer_records import Transfer


class Key(NamedTuple):
    """One field to sort by."""

    field: str
    descends: bool


def parse(names: Iterable[str]) -> list[Key]:
    """Return what the values of `order_by` name. Raises FilterRefused."""
    keys = [Key(name.removeprefix("-"), name.startswith("-")) for name in names]
    for key in keys:
        if key.field not in FIELDS:
            raise FilterRefused(f"No matching '{key.field[:100]}' field for ordering on.")
    return keys


def first(rows: list[Transfer], keys: list[Key], count: int) -> list[Transfer]:
    """Return at least the first `count` rows in that order."""
    if keys:
        rows = _front(rows, keys[0], count)
    for key in reversed(keys):
        rows = _sorted(rows, key)
    return rows


def _front(rows: list[Transfer], key: Key, count: int) -> list[Transfer]:
    """Leave out most of what cannot be among the first `count`: it stands behind that many of a sample.

    The sample is as large as what is expected to be left.
    """
    present, absent = _parted(rows, key)
    size = math.isqrt(count * len(present))
    if not 0 < count < size // 2:
        return rows
    values = list(map(operator.attrgetter(key.field), present))
    last = sorted(values[:: len(values) // size], reverse=key.descends)[count - 1]
    ahead = operator.ge if key.descends else operator.le
    return [*absent, *compress(present, map(ahead, values, repeat(last)))]


def _sorted(rows: list[Transfer], key: Key) -> list[Transfer]:
    present, absent = _parted(rows, key)
    present.sort(key=operator.attrgetter(key.field), reverse=key.descends)
    return [*absent, *present] if key.descends else [*present, *absent]


def _parted(rows: list[Transfer], key: Key) -> tuple[list[Transfer], list[Transfer]]:
    if key.field not in NULLABLE:
        return list(rows), []
    return those(rows, key.field, null=False), those(rows, key.field, null=True)
