"""One attempt of a run: whatever a receiver answers or a program does, it ends with a word on why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import uvloop

from processors import targets
from processors.actions import ActionFailed, ActionRefused, Actions
from processors.runs import Run
from processors.workflow import Action, Command, Webhook, Workflow

EVENT = msgspec.Raw(b'{"filename":"f","timestampUtc":"2026-01-02T03:04:05Z"}')
RUN = Run("run_1", "w", "etc-7", "evt_1", "running", "2026-01-01T00:00:00Z", "u", EVENT)
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
Loop = Callable[[], asyncio.AbstractEventLoop]


class Receiver:
    """Answers every request with the same bytes, then ends the connection if these do not."""

    def __init__(self, answer: bytes, *, endless: bool = False) -> None:
        self.answer = answer
        self.endless = endless
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.serving: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                while self.endless:
                    writer.write(bytes(65_536))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def workflow(action: Action, **more: Any) -> Workflow:
    return Workflow("w", "etc-*", "DirectoryMonitor.etc-*.created.notify", action, timeout_s=5, **more)


def actions(*commands: str) -> Actions:
    return Actions(None, prefix="fswire.", commands=commands, allow_private=True)  # type: ignore[arg-type]


def posted(receiver: Receiver, *urls: str) -> None:
    """Send a webhook to each URL, `{}` being the receiver's port; raises what the last one raises."""

    async def post() -> None:
        server = await asyncio.start_server(receiver.accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = actions()
        try:
            for url in urls:
                await made.perform(workflow(Action(webhook=Webhook(url.format(port)))), RUN)
        finally:
            await made.close()
            server.close()
            await asyncio.gather(*receiver.serving)

    asyncio.run(post())


def ran(loop: Loop, *argv: str, timeout_s: float = 5) -> None:
    """Run a command as an action does."""

    async def run() -> None:
        made = actions(argv[0])
        told = msgspec.structs.replace(workflow(Action(command=Command(argv))), timeout_s=timeout_s)
        try:
            await made.perform(told, RUN)
        finally:
            await made.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_webhook_says_what_was_triggered_and_when_it_happened() -> None:
    """Not the pattern that let the project in, and not the time of this attempt."""
    receiver = Receiver(b"HTTP/1.1 204 No Content\r\n\r\n")

    posted(receiver, "http://127.0.0.1:{}/hook")

    told = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert (told["type"], told["timestamp"]) == (
        "DirectoryMonitor.etc-7.created.notify",
        "2026-01-02T03:04:05Z",
    )


@pytest.mark.parametrize(
    ("head", "body", "told"),
    [
        (b"content-type: text/plain; charset=base64", b"!!", "answered 500: !!"),
        (b"content-type: text/plain; charset=undefined", b"\xff", "answered 500: \ufffd"),
        (b"content-encoding: gzip", b"no gzip", "answered 500: no gzip"),
    ],
)
def test_answer_in_an_odd_encoding_fails_the_attempt_alone(head: bytes, body: bytes, told: str) -> None:
    """Nothing that a receiver says ends the runner."""
    receiver = Receiver(b"HTTP/1.1 500 No\r\n%s\r\ncontent-length: %d\r\n\r\n%s" % (head, len(body), body))

    with pytest.raises(ActionFailed) as failed:
        posted(receiver, "http://127.0.0.1:{}/")

    assert str(failed.value) == told


def test_endless_answer_is_not_read() -> None:
    """Success is told by its status; of a failure the beginning is shown."""
    posted(Receiver(b"HTTP/1.1 200 OK\r\n\r\n", endless=True), "http://127.0.0.1:{}/")
    with pytest.raises(ActionFailed, match="answered 503") as failed:
        posted(Receiver(b"HTTP/1.1 503 No\r\n\r\n", endless=True), "http://127.0.0.1:{}/")

    assert len(str(failed.value)) < 600


@pytest.mark.parametrize("url", ["http://[::1", "http://h:x/", "http://256.1.1.1/", "http://x/\n"])
def test_url_that_cannot_be_called_is_refused(url: str) -> None:
    """It will be none at the next attempt either; what it holds is not told."""
    with pytest.raises(ActionRefused, match=r"webhook.url is no URL"):
        posted(Receiver(b""), url)


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example"])
def test_name_that_is_no_host_fails_the_attempt_alone(host: str) -> None:
    """The resolver's own error for it is none of the network."""
    with pytest.raises(ActionFailed, match="ConnectError"):
        posted(Receiver(b""), f"http://{host}/")


def test_unforeseen_error_fails_the_attempt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No workflow may end the worker, again and again."""

    async def broken(*_: object, **__: object) -> list[str]:
        raise LookupError("odd")

    monkeypatch.setattr(targets, "resolve", broken)

    with pytest.raises(ActionFailed, match="LookupError: odd"):
        posted(Receiver(b""), "http://127.0.0.1:{}/")


def test_connection_is_made_for_each_webhook() -> None:
    """Two hosts at one address: what is for one never goes where the certificate was the other's."""
    receiver = Receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    posted(receiver, "http://127.0.0.1:{}/a", "http://localhost:{}/b")

    assert receiver.connections == 2


def test_each_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that listens at one of them is found."""
    receiver = Receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def two(*_: object, **__: object) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    monkeypatch.setattr(targets, "resolve", two)

    posted(receiver, "http://hooks.example:{}/")

    assert receiver.requests[0].lower().count(b"host: hooks.example") == 1


@LOOPS
def test_command_ends_with_its_program(loop: Loop) -> None:
    """What it leaves running, with its input and output still open, holds up nothing."""
    with took_less_than(3):
        ran(loop, "/bin/sh", "-c", "sleep 4 & exit 0")


@LOOPS
def test_command_that_says_much_is_shown_with_its_last_words(loop: Loop) -> None:
    """They are what is kept of it."""
    script = "import sys; sys.stderr.write('x' * 5_000_000 + 'at last'); sys.exit(3)"

    with pytest.raises(ActionFailed, match=r"^exit status 3: x+at last$") as failed:
        ran(loop, sys.executable, "-c", script)

    assert len(str(failed.value)) < 600


@LOOPS
def test_command_that_does_not_read_succeeds(loop: Loop) -> None:
    """The event is offered, not forced on it."""
    ran(loop, "/bin/true")


@LOOPS
def test_command_that_takes_too_long_is_ended_and_not_tried_again(loop: Loop) -> None:
    """Nobody knows what it did: commands run at most once."""
    with pytest.raises(ActionRefused, match="not known"), took_less_than(3):
        ran(loop, "/bin/sh", "-c", "sleep 4; true", timeout_s=0.1)


@contextmanager
def took_less_than(limit_s: float) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - begun < limit_s
