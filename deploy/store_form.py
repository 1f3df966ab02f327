"""A multipart form: parameters of a query, and the tables that came with it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from deploy import store_errors
from deploy.store_errors import StoreError

_MAX_FIELD_BYTES = 64 * 1024 * 1024
_NAME = re.compile(rb'name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


class Form:
    """A multipart form: small fields in memory, files on disk until `close`."""

    def __init__(self, boundary: bytes, spool: Path) -> None:
        self.fields: dict[str, bytes] = {}
        self.files: dict[str, IO[bytes]] = {}
        self._delimiter = b"\r\n--" + boundary
        self._spool = spool
        self._held = bytearray(b"\r\n")
        self._name = ""
        self._file: IO[bytes] | None = None
        self._field = bytearray()
        self._inside = False
        self._ended = False

    async def read(self, body: AsyncIterator[bytes]) -> None:
        """Take in the whole body. StoreError for one that ends before its last part does."""
        async for chunk in body:
            self._held += chunk
            while not self._ended and self._step():
                pass
        if not self._ended:
            raise StoreError(store_errors.BAD_REQUEST_PARAMETER, "The multipart form is cut off")

    def close(self) -> None:
        """Delete the files."""
        for file in (*self.files.values(), self._file):
            if file is not None:
                file.close()

    def _step(self) -> bool:
        """Use up what is held to the next delimiter and begin the part after it; False: more is needed."""
        at = self._held.find(self._delimiter)
        if at < 0:
            safe = max(0, len(self._held) - len(self._delimiter))
            self._keep(bytes(self._held[:safe]))
            del self._held[:safe]
            return False
        after = at + len(self._delimiter)
        head_end = self._held.find(b"\r\n\r\n", after)
        closing = self._held[after : after + 2] == b"--"
        if head_end < 0 and not closing:
            return False
        self._keep(bytes(self._held[:at]))
        self._end_part()
        if closing:
            self._ended = True
            return False
        self._begin_part(bytes(self._held[after:head_end]))
        del self._held[: head_end + 4]
        return True

    def _begin_part(self, head: bytes) -> None:
        disposition = next((line for line in head.split(b"\r\n") if b"form-data" in line.lower()), b"")
        found = _NAME.search(re.sub(rb'filename="(?:[^"\\]|\\.)*"', b"", disposition))
        if found is None:
            raise StoreError(store_errors.BAD_REQUEST_PARAMETER, "A part of the multipart form has no name")
        self._name = found[1].decode("utf-8", "surrogateescape")
        self._inside = True
        self._field = bytearray()
        if b"filename=" in disposition.lower():
            self._file = tempfile.TemporaryFile(dir=self._spool)  # noqa: SIM115 - closed by close()

    def _keep(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        elif self._inside:
            self._field += data
            if len(self._field) > _MAX_FIELD_BYTES:
                raise StoreError(store_errors.BAD_REQUEST_PARAMETER, f"Field {self._name} is too large")

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.seek(0)
            self.files[self._name] = self._file
            self._file = None
        elif self._inside:
            self.fields[self._name] = self.fields.get(self._name, b"") + bytes(self._field)
        self._inside = False
