"""The grammar of filters and orders, held against Python's own evaluation of the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import transfer_filters, transfer_order
from processors.transfer_filters import FilterRefused
from processors.transfer_records import Transfer

TEXTS = ("status", "name", "url", "md5sum", "celery_task_id", "local_dir", "tags")
MOMENTS = ("created", "updated")
texts = st.text("aAbB1.é ", max_size=4)
moments = st.datetimes(datetime(2016, 12, 30), datetime(2017, 1, 2)).map(
    lambda moment: moment.replace(second=moment.second % 2).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
)
numbers = st.integers(-2, 12)
rows = st.lists(
    st.builds(
        Transfer,
        id=numbers,
        created=moments,
        updated=moments,
        name=texts,
        tags=texts,
        md5sum=st.none() | texts,
        size=st.none() | numbers,
        progress=numbers,
    ),
    max_size=8,
)


def visible(row: Transfer, field: str) -> str | None:
    """Return a field as a client sees it."""
    value = getattr(row, field)
    if value is None:
        return None
    return str(value).replace("Z", "+00:00") if field in MOMENTS else str(value)


TEXT_LOOKUPS: dict[str, Callable[[str, str], Any]] = {
    "contains": lambda value, wanted: wanted in value,
    "startswith": lambda value, wanted: value.startswith(wanted),
    "endswith": lambda value, wanted: value.endswith(wanted),
    "iexact": lambda value, wanted: value.casefold() == wanted.casefold(),
    "icontains": lambda value, wanted: wanted.casefold() in value.casefold(),
    "istartswith": lambda value, wanted: value.casefold().startswith(wanted.casefold()),
    "iendswith": lambda value, wanted: value.casefold().endswith(wanted.casefold()),
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda value, wanted: value == wanted,
    "__exact": lambda value, wanted: value == wanted,
    "__gt": lambda value, wanted: value > wanted,
    "__gte": lambda value, wanted: value >= wanted,
    "__lt": lambda value, wanted: value < wanted,
    "__lte": lambda value, wanted: value <= wanted,
}
PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "week_day": lambda moment: (moment.weekday() + 1) % 7 + 1,
    "hour": lambda moment: moment.hour,
    "minute": lambda moment: moment.minute,
    "second": lambda moment: moment.second,
}


def selected(found: list[Transfer], *pairs: tuple[str, str]) -> list[Transfer]:
    """Return what the filters of a query leave."""
    return transfer_filters.parse(pairs).select(found)


def expected(found: list[Transfer], holds: Callable[[Transfer], Any]) -> list[Transfer]:
    """Return the same by Python alone."""
    return [row for row in found if holds(row)]


@settings(max_examples=80)
@given(rows, st.sampled_from(transfer_filters.FIELDS), st.sampled_from(sorted(TEXT_LOOKUPS)), texts)
def test_text_lookups_are_those_of_python(
    found: list[Transfer], field: str, lookup: str, wanted: str
) -> None:
    """Lookups of texts see every field as clients do, and never a null."""
    told = selected(found, (f"{field}__{lookup}", wanted))

    assert told == expected(
        found,
        lambda row: (value := visible(row, field)) is not None and TEXT_LOOKUPS[lookup](value, wanted),
    )


@settings(max_examples=80)
@given(rows, st.sampled_from(["id", "size", "progress"]), st.sampled_from(sorted(COMPARISONS)), numbers)
def test_numbers_compare_as_numbers(found: list[Transfer], field: str, lookup: str, wanted: int) -> None:
    """Sizes are strings on the wire and numbers to filters: 9 is less than 10."""
    told = selected(found, (field + lookup, str(wanted)))

    assert told == expected(
        found,
        lambda row: getattr(row, field) is not None and COMPARISONS[lookup](getattr(row, field), wanted),
    )


@settings(max_examples=60)
@given(rows, st.sampled_from(MOMENTS), st.sampled_from(sorted(COMPARISONS)), moments)
def test_moments_compare_as_moments(found: list[Transfer], field: str, lookup: str, wanted: str) -> None:
    """A time with any offset is compared as the moment that it is."""
    moment = datetime.fromisoformat(wanted)

    told = selected(found, (field + lookup, moment.isoformat()))

    assert told == expected(
        found, lambda row: COMPARISONS[lookup](datetime.fromisoformat(getattr(row, field)), moment)
    )


@settings(max_examples=60)
@given(rows, st.sampled_from(MOMENTS), st.sampled_from(sorted(PARTS)), numbers | st.integers(2015, 2018))
def test_parts_of_moments(found: list[Transfer], field: str, part: str, wanted: int) -> None:
    """`created__year` and its kin are of UTC, and weeks begin on Sunday with 1."""
    told = selected(found, (f"{field}__{part}", str(wanted)))

    assert told == expected(
        found, lambda row: PARTS[part](datetime.fromisoformat(getattr(row, field))) == wanted
    )


@settings(max_examples=60)
@given(rows, st.lists(numbers, min_size=1, max_size=4), numbers, numbers)
def test_lists_and_ranges(found: list[Transfer], among: list[int], low: int, high: int) -> None:
    """`in` and `range` separate by commas; a parameter may be repeated; all filters must hold."""
    first, *others = map(str, among)

    told = selected(found, ("id__in", first), ("id__in", ",".join(others)), ("size__range", f"{low},{high}"))

    assert told == expected(
        found, lambda row: row.id in among and row.size is not None and low <= row.size <= high
    )


@settings(max_examples=60)
@given(rows, st.sampled_from(["^a", "b$", "[a1]+", "a.b", "^$", "é", "(a|B)b?"]), st.booleans())
def test_patterns_are_those_of_python(found: list[Transfer], pattern: str, ignores_case: bool) -> None:
    """Ordinary regular expressions match as in Python."""
    compiled = re.compile(pattern, re.IGNORECASE if ignores_case else 0)

    told = selected(found, ("name__iregex" if ignores_case else "name__regex", pattern))

    assert told == expected(found, lambda row: compiled.search(row.name))


@settings(max_examples=80)
@given(
    rows,
    st.lists(st.tuples(st.sampled_from(["name", "size", "md5sum", "created"]), st.booleans()), max_size=3),
    st.integers(1, 8),
)
def test_order_is_that_of_python(found: list[Transfer], keys: list[tuple[str, bool]], count: int) -> None:
    """Each key decides where the ones before are equal; nulls are larger than anything."""
    parsed = transfer_order.parse([("-" if descends else "") + field for field, descends in keys])

    told = transfer_order.first(found, parsed, count)

    ordered = list(found)
    for field, descends in reversed(keys):
        kind = (field,) if field == "size" else ()
        ordered.sort(
            key=lambda row: (getattr(row, field) is None, getattr(row, field) or (0 if kind else "")),
            reverse=descends,
        )
    assert told[:count] == ordered[:count]


def test_order_of_many_rows_is_picked_not_sorted() -> None:
    """The first rows of a long list are the same, ties in the order in which they came."""
    many = [
        Transfer(id=number, created="", updated="", size=number * 7919 % 1000 if number % 9 else None)
        for number in range(20_000)
    ]

    for name in ("size", "-size", "-id"):
        keys = transfer_order.parse([name])
        assert transfer_order.first(many, keys, 20)[:20] == transfer_order.first(many, keys, 19_999)[:20]


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("md5sum", "None", 1),
        ("md5sum__iexact", "none", 1),
        ("size__isnull", "true", 1),
        ("size__isnull", "0", 1),
        ("name", "None", 0),
        ("id__in", "", 0),
        ("unknown", "x", 2),
        ("unknown__bad__lookup", "x", 2),
        ("limit", "x", 2),
        ("created__lt", "2017-01-02", 2),
        ("created__gte", "2017-01-01T00:00:00 00:00", 2),
    ],
)
def test_special_values(name: str, value: str, count: int) -> None:
    """Nulls by name, empty lists, dates, a plus that the URL ate; what is no field is no filter."""
    moment = "2017-01-01T00:00:00.000000Z"
    found = [
        Transfer(id=1, created=moment, updated=moment),
        Transfer(id=2, created=moment, updated=moment, md5sum="x", size=0),
    ]

    assert len(selected(found, (name, value))) == count


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resource_uri", "/rundb/api/v1/filemonitor/1/"),
        ("name__foo", "x"),
        ("name__year", "2017"),
        ("name__foo__bar", "x"),
        ("created__year__gt", "2017"),
        ("id", "abc"),
        ("size__gt", str(2**63)),
        ("progress__range", "1"),
        ("progress__in", "1,x"),
        ("created", "yesterday"),
        ("created", "0001-01-01"),
        ("created__range", "2017-01-01"),
        ("name__regex", "(a"),
        ("name__regex", "(?=a)"),
        ("name__regex", "a" * 2000),
        ("size__isnull", "perhaps"),
    ],
)
def test_bad_filters_are_refused(name: str, value: str) -> None:
    """A lookup that a field has not, or a value that it cannot take, says so."""
    with pytest.raises(FilterRefused):
        transfer_filters.parse([(name, value)])


@pytest.mark.parametrize("name", ["nothing", "name__length", "resource_uri", "", "--id"])
def test_bad_orders_are_refused(name: str) -> None:
    """Only fields order, and none through another."""
    with pytest.raises(FilterRefused):
        transfer_order.parse([name])
