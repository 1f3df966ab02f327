"""Formats of an export: how each page is asked of the database, and how pages become one file.

CSV and NDJSON pass through as the database wrote them. Parquet is put together here, a row group a page: its
end holds the places of all groups, which no single page can know.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from api.export_pages import Pages


class Format(NamedTuple):
    """One kind of file."""

    media_type: str
    file: Callable[[Pages], AsyncGenerator[bytes]]
    changed: str
    """Expression of the column `changed`."""


async def csv(pages: Pages) -> AsyncGenerator[bytes]:
    """Yield a CSV file with a head."""
    clickhouse = "CSVWithNames"
    async for span in pages.spans():
        async with pages.page(span, clickhouse) as chunks:
            async for chunk in chunks:
                yield chunk
        clickhouse = "CSV"


async def ndjson(pages: Pages) -> AsyncGenerator[bytes]:
    """Yield a JSON object a line."""
    async for span in pages.spans():
        async with pages.page(span, "JSONEachRow") as chunks:
            async for chunk in chunks:
                yield chunk


async def parquet(pages: Pages) -> AsyncGenerator[bytes]:
    """Yield a Parquet file; one page is in memory at a time."""
    file = _ParquetFile()
    async for span in pages.spans():
        async with pages.page(span, "ArrowStream") as chunks:
            arrow = b"".join([chunk async for chunk in chunks])
        yield await asyncio.to_thread(file.add, arrow)
    yield await asyncio.to_thread(file.end)


FORMATS = {
    "csv": Format("text/csv; charset=utf-8", csv, "arrayStringConcat(changed, ' ')"),
    "ndjson": Format("application/x-ndjson", ndjson, "changed"),
    "parquet": Format("application/vnd.apache.parquet", parquet, "changed"),
}
"""By the extension of the route."""


class _ParquetFile:
    """A file that is taken away as it is written."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: Any = None

    def add(self, arrow: bytes) -> bytes:
        """Write the table of an Arrow stream; return the bytes of the file since the last call."""
        import pyarrow
        from pyarrow import parquet as pyarrow_parquet

        table = pyarrow.ipc.open_stream(arrow).read_all()
        if self._writer is None:
            self._writer = pyarrow_parquet.ParquetWriter(self._sink, table.schema, compression="zstd")
        if table.num_rows:
            self._writer.write_table(table)
        return self._sink.take()

    def end(self) -> bytes:
        """Return the end of the file."""
        self._writer.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Counts what was written, and keeps it until it is taken."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._place = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        self._held += data
        size = len(memoryview(data).cast("B"))
        self._place += size
        return size

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
