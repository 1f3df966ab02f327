"""An answer on its way to the client: held back until it is known to succeed, then streamed, compressed.

A failure before the first byte is an HTTP error; after it, a framed exception ends the body, under the tag
that the header `X-ClickHouse-Exception-Tag` announced.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from deploy import store_codecs, store_native
from deploy.store_engine import Progress
from deploy.store_errors import StoreError
from deploy.store_request import Request

Send = Callable[[dict[str, Any]], Awaitable[None]]

_BUFFER_BYTES = 1024 * 1024
_MEMORY_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_TEXT = "text/plain; charset=UTF-8"
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "XML": "application/xml; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
}


class Coder:
    """What is done to the bytes of an answer, in order: revision of Native, own blocks, Content-Encoding."""

    def __init__(self, request: Request, format_name: bytes) -> None:
        revision = request.number("client_protocol_version", 0)
        self._revision = revision if format_name == b"Native" else 0
        method = request.params.get("network_compression_method", "LZ4")
        self._blocks = store_codecs.BlockEncoder(method) if request.flag("compress") else None
        accepted = request.headers.get("accept-encoding", "")
        wanted = request.params.get("enable_http_compression", "1") in ("1", "true")
        self.encoding = store_codecs.choose(accepted) if wanted else None
        level = min(9, request.number("http_zlib_compression_level", 3))
        self._encoder = store_codecs.encoder(self.encoding, level) if self.encoding else None

    def encode(self, chunk: bytes) -> bytes:
        """Return the next bytes of the body."""
        if self._revision:
            chunk = store_native.to_revision(chunk, self._revision)
        return self.raw(chunk)

    def raw(self, chunk: bytes) -> bytes:
        """Encode bytes that are not of the format, such as an exception."""
        if self._blocks is not None:
            chunk = self._blocks.encode(chunk)
        return self._encoder.encode(chunk) if self._encoder is not None else chunk

    def finish(self) -> bytes:
        """Return what the codecs held back."""
        return self._encoder.finish() if self._encoder is not None else b""


class Answer:
    """Sends one response; `common` are the headers that every answer of the store has."""

    def __init__(self, send: Send, request: Request, common: Mapping[str, str], spool: Path) -> None:
        self._send = send
        self._whole = request.flag("wait_end_of_query")
        self._no_body = request.method == "HEAD"
        self._buffer_bytes = request.number("buffer_size", _BUFFER_BYTES)
        self._spool = spool
        self._tag = secrets.token_hex(8)
        self._headers = {**common, "X-ClickHouse-Exception-Tag": self._tag}
        self._held: IO[bytes] | None = None
        self._held_bytes = 0
        self.started = False
        self.progress = Progress()

    def describe(self, format_name: bytes, encoding: str | None) -> None:
        """Say in which format and encoding the body is; before the first write."""
        name = format_name.decode("latin-1")
        fallback = "application/json; charset=UTF-8" if name.startswith("JSON") else _TEXT
        self._headers["Content-Type"] = _CONTENT_TYPES.get(name, fallback)
        self._headers["X-ClickHouse-Format"] = name
        if encoding is not None:
            self._headers["Content-Encoding"] = encoding

    async def write(self, encoded: bytes) -> None:
        """Send, or hold back, bytes that a Coder gave."""
        if self.started:
            await self._body(encoded)
            return
        if self._held is None:
            self._held = tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(self._spool))  # noqa: SIM115
        self._held.write(encoded)
        self._held_bytes += len(encoded)
        if not self._whole and self._held_bytes > self._buffer_bytes:
            await self._release()

    async def finish(self, rest: bytes = b"") -> None:
        """Send all that is left and end the response."""
        if not self.started:
            if self._held is None and not rest:
                self._headers["Content-Length"] = "0"
            await self._release()
        await self._body(rest, more=False)

    async def fail(self, error: StoreError, version: str, coder: Coder | None) -> None:
        """End the response with an error, as a status or, if it has begun, as a framed exception."""
        line = error.line(version)
        if not self.started:
            self._drop()
            await self._plain(error, line.encode())
            return
        size = len(line.encode())
        frame = f"\r\n__exception__\r\n{self._tag}\r\n{line}{size} {self._tag}\r\n__exception__\r\n".encode()
        encoded = coder.raw(frame) + coder.finish() if coder is not None else frame
        await self._body(encoded, more=False)

    def close(self) -> None:
        """Delete what was held back."""
        self._drop()

    async def _plain(self, error: StoreError, line: bytes) -> None:
        self._headers.pop("Content-Encoding", None)
        self._headers |= {
            "Content-Type": _TEXT,
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Length": str(len(line)),
        }
        if error.status == 401:
            self._headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await self._start(error.status)
        await self._body(line, more=False)

    async def _release(self) -> None:
        await self._start(200)
        if self._held is not None:
            self._held.seek(0)
            while chunk := self._held.read(_CHUNK_BYTES):
                await self._body(chunk)
        self._drop()

    async def _start(self, status: int) -> None:
        self.started = True
        self._headers["X-ClickHouse-Summary"] = json.dumps(
            {name: str(value) for name, value in vars(self.progress).items()}, separators=(",", ":")
        )
        headers = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in self._headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes, *, more: bool = True) -> None:
        body = b"" if self._no_body else chunk
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _drop(self) -> None:
        if self._held is not None:
            self._held.close()
        self._held, self._held_bytes = None, 0
