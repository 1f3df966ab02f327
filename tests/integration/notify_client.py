"""A change-notify client for tests: one request, its answer read event by event as it arrives."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

SHOWN_S = 180
EVENT_STREAM = "text/event-stream"


class Event(NamedTuple):
    """One block of lines, ended by an empty one."""

    lines: tuple[str, ...]

    @property
    def data(self) -> Any:
        """What stands behind `data: `, decoded; None where there is none."""
        found = [line.removeprefix("data: ") for line in self.lines if line.startswith("data: ")]
        assert len(found) <= 1, self.lines
        return json.loads(found[0]) if found else None

    @property
    def id(self) -> str | None:
        """The event's id."""
        return next((line.removeprefix("id: ") for line in self.lines if line.startswith("id: ")), None)

    @property
    def name(self) -> str | None:
        """What stands behind `event: `."""
        return next((line.removeprefix("event: ") for line in self.lines if line.startswith("event: ")), None)

    @property
    def comment(self) -> str | None:
        """What stands behind `: `."""
        return next((line.removeprefix(": ") for line in self.lines if line.startswith(": ")), None)


class Stream:
    """An open stream. Every wait has an end: a test that hears nothing fails with what it heard."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer
        self.status = answer.status
        self.content_type = answer.headers["Content-Type"]
        self.last_id: str | None = None
        self.heard: list[Event] = []

    def event(self, timeout_s: float = SHOWN_S) -> Event | None:
        """Return the next event, None at the end of the stream."""
        lines: list[str] = []
        assert self._connection.sock is not None or self._answer.isclosed() is False
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        while line := self._answer.readline():
            if line != b"\n":
                lines.append(line.decode().removesuffix("\n"))
            elif lines:
                event = Event(tuple(lines))
                self.last_id = event.id or self.last_id
                self.heard.append(event)
                return event
        assert not lines, f"the stream ended within an event: {lines}"
        return None

    def until(self, found: Callable[[Event], bool], timeout_s: float = SHOWN_S) -> Event:
        """Return the first event for which `found` holds; fail where it does not come in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            event = self.event(timeout_s)
            assert event is not None, f"the stream ended: {self.heard[-20:]}"
            if found(event):
                return event
        raise AssertionError(f"not heard in {timeout_s} s: {self.heard[-20:]}")

    def told(self, until: tuple[str, str] | None = None, count: int | None = None) -> list[tuple[str, str]]:
        """Return types and paths of notifications, up to one of them, or so many."""
        told: list[tuple[str, str]] = []
        while not (until in told or (count is not None and len(told) >= count)):
            notifications = self.until(lambda event: isinstance(event.data, list)).data
            told += [(each["type"], each["path"]) for each in notifications]
        return told[:count]

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """All notifications so far."""
        return [each for event in self.heard if isinstance(event.data, list) for each in event.data]

    def rest(self) -> list[Event]:
        """Return all events up to the end of the stream."""
        rest = []
        while (event := self.event()) is not None:
            rest.append(event)
        return rest

    def body(self) -> Any:
        """Return the whole answer as JSON, where it is no stream."""
        return json.loads(self._answer.read())


@contextmanager
def asking(
    api: str, target: str, key: str | None, *, accept: str | None = None, last_id: str | None = None
) -> Iterator[Stream]:
    """Send one request and enter with its answer, whatever it is."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    if accept is not None:
        headers["Accept"] = accept
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    url = urlsplit(api)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=SHOWN_S)
    try:
        connection.request("GET", target, headers=headers)
        yield Stream(connection, connection.getresponse())
    finally:
        connection.close()


@contextmanager
def watching(
    api: str,
    directory: str,
    key: str,
    *,
    recursive: bool = False,
    types: str | None = None,
    accept: str | None = None,
    last_id: str | None = None,
) -> Iterator[Stream]:
    """Watch a directory; entered once the stream has begun."""
    query = f"?recursive={recursive}" + (f"&filter={types}" if types else "")
    target = f"/v1/files/{quote(directory, safe='')}/notify{query}"
    with asking(api, target, key, accept=accept, last_id=last_id) as stream:
        assert stream.status == 200, stream.body()
        first = stream.event()
        assert first is not None
        assert first.comment == "watching"
        yield stream
