"""Formats in which a query is answered: how clients ask for them, what ClickHouse does, the JSON document.

ClickHouse formats every answer; the JSON document is put around its lines as they pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec


class Format(NamedTuple):
    """How an answer is written."""

    media_type: str
    clickhouse: str


JSON = Format("application/json", "JSONCompactEachRowWithNamesAndTypes")
CSV = Format("text/csv; charset=utf-8", "CSVWithNames")
ARROW = Format("application/vnd.apache.arrow.stream", "ArrowStream")
PARQUET = Format("application/vnd.apache.parquet", "Parquet")
FORMATS = {each.media_type.partition(";")[0]: each for each in (JSON, CSV, ARROW, PARQUET)}
"""By media type, the one that is taken where a client does not mind first."""


class Column(msgspec.Struct):
    """Name and ClickHouse type of a column."""

    name: str
    type: str


async def document(chunks: AsyncIterator[bytes], elapsed_ms: int) -> AsyncIterator[bytes]:
    """Yield the JSON document of an answer in `JSON.clickhouse`: lines of names, of types, and of each row.

    A row is a list, in the order of the columns. A line feed within a value is escaped, so that every one
    that there is ends a line.
    """
    head = b""
    while head.count(b"\n") < 2:
        head += await anext(chunks)
    names, types, rest = head.split(b"\n", 2)
    columns = [Column(name, type_) for name, type_ in zip(_texts(names), _texts(types), strict=True)]
    yield b'{"columns":' + msgspec.json.encode(columns) + b',"rows":['
    rows, ended = 0, False
    while True:
        if rest:
            yield (b"," if ended else b"") + rest.removesuffix(b"\n").replace(b"\n", b",")
            rows, ended = rows + rest.count(b"\n"), rest.endswith(b"\n")
        try:
            rest = await anext(chunks)
        except StopAsyncIteration:
            break
    yield b'],"row_count":%d,"elapsed_ms":%d}' % (rows, elapsed_ms)


def _texts(line: bytes) -> list[str]:
    return msgspec.json.decode(line, type=list[str])
