"""Results of commands on standard output: a table for a person, tab-separated lines for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
"""Control characters as a person is shown them: a file's name could move the cursor, or more."""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def rows(head: Sequence[str], body: Iterable[Sequence[object]]) -> None:
    """Print rows under a head; where standard output is no terminal as ClickHouse's TSVWithNames."""
    if sys.stdout.isatty():
        table(head, body)
        return
    for row in (head, *body):
        print("\t".join(_cell(value) for value in row))


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> None:
    """Print rows as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for name in head:
        drawn.add_column(Text(name))
    for row in body:
        drawn.add_row(*(Text("" if value is None else _plain(value).translate(_VISIBLE)) for value in row))
    Console().print(drawn)


def _cell(value: object) -> str:
    return "\\N" if value is None else _plain(value).translate(_ESCAPES)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
