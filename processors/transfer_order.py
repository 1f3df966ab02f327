"""The order of a list of transfers: `order_by` in, sorted rows out. Pure.

Nulls stand last, and first where the order descends, as in PostgreSQL. What is equal keeps the order in which
it came: the newest id first.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Iterable
from typing import NamedTuple

from processors.transfer_filters import FIELDS, NULLABLE, FilterRefused
from processors.transfer_records import Transfer

_FEW = 10_000
"""Of so many rows at the front the best are picked; more are sorted."""


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
    if len(keys) == 1 and count <= _FEW < len(rows):
        return _picked(rows, keys[0], count)
    for key in reversed(keys):
        rows = _sorted(rows, key)
    return rows


def _picked(rows: list[Transfer], key: Key, count: int) -> list[Transfer]:
    present, absent = _parted(rows, key)
    pick = heapq.nlargest if key.descends else heapq.nsmallest
    picked = pick(count, present, key=operator.attrgetter(key.field))
    return [*absent, *picked] if key.descends else [*picked, *absent]


def _sorted(rows: list[Transfer], key: Key) -> list[Transfer]:
    present, absent = _parted(rows, key)
    present.sort(key=operator.attrgetter(key.field), reverse=key.descends)
    return [*absent, *present] if key.descends else [*present, *absent]


def _parted(rows: list[Transfer], key: Key) -> tuple[list[Transfer], list[Transfer]]:
    if key.field not in NULLABLE:
        return list(rows), []
    get = operator.attrgetter(key.field)
    return [row for row in rows if get(row) is not None], [row for row in rows if get(row) is None]
