"""The filters of the file monitor: a query string's pairs in, those transfers that match out. Pure.

`FIELD__LOOKUP=VALUE` as Tastypie and Django read it; all filters given must hold. Written for lists of
100,000: each test runs over a whole column inside of C. Regular expressions are RE2's, which takes linear
time whatever the pattern: a client cannot stop the sequencer with one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import compress, repeat
from typing import Any, NamedTuple

import re2

from processors.instants import canonical
from processors.transfer_records import Transfer, offset_form

Pairs = Sequence[tuple[str, str]]
Test = Callable[[Iterable[Any]], Iterable[Any]]
"""Takes a column without nulls, gives something true for each value that passes."""

TEXTS = ("status", "name", "url", "md5sum", "celery_task_id", "local_dir", "tags")
NUMBERS = ("progress", "size", "id")
MOMENTS = ("updated", "created")
FIELDS = (*TEXTS, *NUMBERS, *MOMENTS)
NULLABLE = frozenset(("md5sum", "size"))
_LARGEST = 2**63 - 1
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_NULLS = frozenset(("nil", "none", "None"))
_BOOLEANS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}
_MAX_PATTERN_CHARS = 1000
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_TEXT_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "exact": operator.eq,
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "week_day": lambda moment: moment.isoweekday() % 7 + 1,
    "hour": lambda moment: moment.hour,
    "minute": lambda moment: moment.minute,
    "second": lambda moment: moment.second,
}
"""Of a moment in UTC; days of the week count from Sunday, 1."""


class FilterRefused(Exception):
    """A filter or an order that cannot be; the message is for the client."""


class Filter(NamedTuple):
    """One condition on one field."""

    field: str
    test: Test
    null: bool | None = None
    """Not None: the field must be null (True) or must not be (False), and nothing else counts."""

    def among(self, rows: list[Transfer]) -> list[Transfer]:
        """Return those of the rows for which it holds, in their order."""
        if self.null is not None:
            return those(rows, self.field, null=self.null)
        if self.field in NULLABLE:
            rows = those(rows, self.field, null=False)
        return list(compress(rows, self.test(map(operator.attrgetter(self.field), rows))))


class Filters(NamedTuple):
    """All conditions of a query."""

    filters: list[Filter]

    def select(self, rows: list[Transfer]) -> list[Transfer]:
        """Return the rows for which all hold, in their order."""
        for each in self.filters:
            rows = each.among(rows)
        return rows


def those(rows: list[Transfer], field: str, *, null: bool) -> list[Transfer]:
    """Return the rows in which a field is null, or those in which it is not, in their order."""
    is_or_not = operator.is_ if null else operator.is_not
    return list(compress(rows, map(is_or_not, map(operator.attrgetter(field), rows), repeat(None))))


def parse(pairs: Pairs) -> Filters:
    """Return the filters of a query; parameters that name no field are none. Raises FilterRefused.

    Of a parameter that is given more than once the last counts, of `in` and `range` all.
    """
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.partition("__")[0] in (*FIELDS, "resource_uri"):
            values.setdefault(name, []).append(value)
    return Filters([_filter(name, given) for name, given in values.items()])


def _filter(name: str, given: list[str]) -> Filter:
    field, _, lookup = name.partition("__")
    lookup = lookup or "exact"
    if field == "resource_uri":
        raise FilterRefused("The 'resource_uri' field does not allow filtering.")
    if lookup in ("exact", "iexact") and field in NULLABLE and given[-1] in _NULLS:
        return Filter(field, _everything, null=True)
    if lookup == "isnull":
        return Filter(field, _everything, null=_boolean(name, given[-1]))
    try:
        return Filter(field, _test(field, lookup, given))
    except (ValueError, OverflowError) as error:
        raise FilterRefused(f"{name}: {error}") from None


def _test(field: str, lookup: str, given: list[str]) -> Test:
    if lookup in _PARTS and field in MOMENTS:
        part, wanted = _PARTS[lookup], _integer(given[-1])
        return lambda values: (part(datetime.fromisoformat(value)) == wanted for value in values)
    if lookup in ("in", "range"):
        return _listed(field, lookup, [piece for value in given if value for piece in value.split(",")])
    if lookup in _COMPARED or lookup == "exact":
        return _each(_COMPARED.get(lookup, operator.eq), _READ[field](given[-1]))
    return _on_text(field, lookup, given[-1])


def _listed(field: str, lookup: str, pieces: list[str]) -> Test:
    wanted = [_READ[field](piece) for piece in pieces]
    if lookup == "in":
        among = frozenset(wanted)
        return lambda values: map(among.__contains__, values)
    if len(wanted) != 2:
        raise ValueError("a range is two values, separated by a comma")
    low, high = wanted
    return lambda values: (low <= value <= high for value in values)


def _on_text(field: str, lookup: str, wanted: str) -> Test:
    """Return a test of the text that a client sees."""
    as_text = _SHOWN[field]
    if lookup in ("regex", "iregex"):
        search = _pattern(wanted, lookup == "regex").search
        return lambda values: map(search, as_text(values))
    if lookup in _TEXT_TESTS:
        test = _each(_TEXT_TESTS[lookup], wanted)
        return lambda values: test(as_text(values))
    if lookup[:1] == "i" and lookup[1:] in _TEXT_TESTS:
        test = _each(_TEXT_TESTS[lookup[1:]], wanted.casefold())
        return lambda values: test(map(str.casefold, as_text(values)))
    raise ValueError(f"'{lookup}' is not a lookup of this field")


def _each(test: Callable[[Any, Any], Any], wanted: Any) -> Test:
    return lambda values: map(test, values, repeat(wanted))


def _everything(_values: Iterable[Any]) -> Iterable[Any]:
    return repeat(True)


def _pattern(text: str, case_sensitive: bool) -> Any:
    if len(text) > _MAX_PATTERN_CHARS:
        raise ValueError(f"a pattern has at most {_MAX_PATTERN_CHARS} characters")
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = case_sensitive
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"not a regular expression: {_said(error)}") from None


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _boolean(name: str, text: str) -> bool:
    if text not in _BOOLEANS:
        raise FilterRefused(f"{name}: must be true or false")
    return _BOOLEANS[text]


def _integer(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not -_LARGEST <= int(text) <= _LARGEST:
        raise ValueError(f"'{text[:40]}' is not an integer of 64 bits")
    return int(text)


_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(NUMBERS, _integer),
    **dict.fromkeys(MOMENTS, canonical),
}
_SHOWN: dict[str, Callable[[Iterable[Any]], Iterable[str]]] = {
    **dict.fromkeys(TEXTS, lambda values: values),
    **dict.fromkeys(NUMBERS, lambda values: map(str, values)),
    **dict.fromkeys(MOMENTS, lambda values: map(offset_form, values)),
}
