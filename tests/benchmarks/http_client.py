"""A keep-alive HTTP/1.1 client that costs little, so that a benchmark measures the server and not itself."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self


class Connection:
    """One connection to `host:port`; requests are sent one after the other."""

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self._address = (host, port)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._host = f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Send one request; return its status and its JSON body."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer.split(b" ", 2)[1])
        length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return status, json.loads(await self._reader.readexactly(length) or b"null")
