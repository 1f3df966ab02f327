"""uvicorn's HTTP protocol with an end to its patience: slow heads, slow bodies, slow readers, endless heads.

What it answers itself, before there is a request, has the shape of every other refusal.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import at_once
from api.errors import ApiError, BadRequest, BodyTimeout
from api.errors import body as error_body
from api.settings import ApiSettings

MAX_HEAD_BYTES = 64 * 1024
MIN_TAKEN_BYTES = 64 * 1024
"""Of what waits for a client, in the time after which it is given up: some 2 KiB/s, less than any modem."""
_MARGIN_S = 5.0
"""A body that does not come is answered by the application, which knows what it is about; then by us."""


class HeadTooLarge(ApiError):
    """A request whose head has no end."""

    status = 431
    code = "head_too_large"


class PatientProtocol(HttpToolsProtocol):
    """One connection; `protocol` makes a class of it that has its time-outs."""

    head_timeout_s: ClassVar[float]
    body_timeout_s: ClassVar[float]
    stalled_timeout_s: ClassVar[float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._arriving: asyncio.TimerHandle | None = None
        """Ends the wait for a head, or for the rest of a body."""
        self._leaving: asyncio.TimerHandle | None = None
        """Looks at whether the client takes what waits for it."""
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect(self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._expect(None)
        self._stop_looking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a head only so many."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # closed, or a WebSocket's by now
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(f"the head of a request must have at most {MAX_HEAD_BYTES} bytes"))
        elif self._arriving is None and self._idle:
            self._expect(self.head_timeout_s)

    def on_message_begin(self) -> None:
        """Expect the rest of the head."""
        super().on_message_begin()
        self._in_head = True
        self._expect(self.head_timeout_s)

    def on_headers_complete(self) -> None:
        """Expect the body."""
        super().on_headers_complete()
        if self.cycle is not None:
            self.scope["extensions"] = at_once.extension(self.cycle)  # type: ignore[typeddict-item]
        self._in_head = False
        self._expect(self.body_timeout_s + _MARGIN_S)

    def on_message_complete(self) -> None:
        """Expect nothing: it is our turn."""
        super().on_message_complete()
        self._expect(None)
        self._in_head = True
        self._head_bytes = 0

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol."""
        self._expect(None)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Begin to look at whether what waits is taken."""
        super().pause_writing()
        self._look(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It was taken."""
        self._stop_looking()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in our shape and not in uvicorn's."""
        self._refuse(BadRequest(msg, code="not_http"))

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self, within_s: float | None) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
        self._arriving = None if within_s is None else self.loop.call_later(within_s, self._give_up)

    def _give_up(self) -> None:
        self._arriving = None
        if self.transport.is_closing():
            return
        if self._in_head and self._idle:
            self._refuse(BodyTimeout(f"the head of a request must come within {self.head_timeout_s:g} s"))
        else:
            self.transport.abort()

    def _look(self, waits_bytes: int) -> None:
        self._stop_looking()
        self._leaving = self.loop.call_later(self.stalled_timeout_s, self._looked, waits_bytes)

    def _looked(self, waited_bytes: int) -> None:
        waits_bytes = self.transport.get_write_buffer_size()
        if waited_bytes - waits_bytes < MIN_TAKEN_BYTES:
            self.transport.abort()
        else:
            self._look(waits_bytes)

    def _stop_looking(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _refuse(self, refusal: ApiError) -> None:
        body = msgspec.json.encode(error_body(refusal))
        phrase = HTTPStatus(refusal.status).phrase
        head = (
            f"HTTP/1.1 {refusal.status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def protocol(settings: ApiSettings) -> type[PatientProtocol]:
    """Return the protocol with the time-outs of the settings."""
    return type(
        "Protocol",
        (PatientProtocol,),
        {
            "head_timeout_s": settings.head_timeout_s,
            "body_timeout_s": settings.body_timeout_s,
            "stalled_timeout_s": settings.stalled_timeout_s,
        },
    )
