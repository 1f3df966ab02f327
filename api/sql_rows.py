"""Which rows a key may read by SQL: a condition on `project_id`, from the key's project patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_EXACT = re.compile(r"[A-Za-z0-9_.-]+")
_PATTERN = re.compile(r"(?:[A-Za-z0-9_.*?-]|\[!?[A-Za-z0-9_.-]+\])+")
_PART = re.compile(r"\[[^\]]*\]|.")
_SYNTAX = {"*": ".*", "?": ".", ".": "[.]"}
NO_ROWS = "1 = 0"


def row_filter(patterns: Iterable[str]) -> str:
    """Return the condition that holds for projects which match a pattern, `*`, `?` and `[…]` as in fnmatch.

    A pattern that no project id can match adds nothing. What comes out needs no escaping in SQL.
    """
    given = set(patterns)
    exact = sorted(pattern for pattern in given if _EXACT.fullmatch(pattern))
    wild = sorted(given - set(exact))
    conditions = []
    if exact:
        conditions.append("project_id IN (" + ", ".join(f"'{name}'" for name in exact) + ")")
    expressions = [_expression(pattern) for pattern in wild if _PATTERN.fullmatch(pattern)]
    if expressions:
        conditions.append("match(project_id, '^(" + "|".join(expressions) + ")$')")
    return " OR ".join(conditions) or NO_ROWS


def _expression(pattern: str) -> str:
    return _PART.sub(lambda part: _SYNTAX.get(part[0], part[0].replace("[!", "[^")), pattern)
