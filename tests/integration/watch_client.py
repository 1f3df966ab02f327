"""A client of `fswire watch`: sends requests, keeps what comes back, and knows when everything has come."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.running import FSWIRE

PATIENCE_S = 60.0


class LocalClient:
    """One process of the command, on its standard input and output."""

    def __init__(self, *arguments: str, cwd: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [FSWIRE, "watch", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd
        )
        self._asked = 0
        self._buffer = b""
        self._changes: list[dict[str, Any]] = []

    def send(self, text: str) -> None:
        """Send text as it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def receive(self) -> Any:
        """Return the next message; None at the end of output."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert ready, "no message came"
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def ask(self, payload: Any, **more: Any) -> Any:
        """Send a request in an envelope and return the payload of its answer; changes before it are kept."""
        self._asked += 1
        identity = f"r{self._asked}"
        self.send(json.dumps({"id": identity, "payload": payload, **more}) + "\n")
        while True:
            message = self.receive()
            assert message is not None, "it ended"
            answered = message["payload"]
            if message["origin_id"] == identity and not _is_change(answered):
                return answered
            self._changes.append(message)

    def watch(self, path: Path | str, **more: Any) -> str:
        """Watch a path and return the request's id."""
        answer = self.ask({"type": "watch", "path": str(path), **more})
        assert answer == {"type": "ok"}, answer
        return f"r{self._asked}"

    def unwatch(self, path: Path | str) -> Any:
        """Return the answer to `unwatch`."""
        return self.ask({"type": "unwatch", "path": str(path)})

    def messages(self) -> list[dict[str, Any]]:
        """Return what was sent for watches since the last call; all that has happened by now is in it."""
        assert self.ask({"type": "version"})["type"] == "version"
        messages, self._changes = self._changes, []
        return messages

    def changes(self, origin: str | None = None) -> list[tuple[str, ...]]:
        """Return the kind and path, and of a rename the new path, of each change, of one watch or of all."""
        return [
            (each["kind"], each["path"], *filter(None, [each.get("details", {}).get("renamed")]))
            for message in self.messages()
            if (each := message["payload"]) and origin in (None, message["origin_id"])
        ]

    def await_message(self, wanted: Any) -> dict[str, Any]:
        """Return the next message for which `wanted` holds; those before it are kept."""
        while True:
            message: dict[str, Any] = self.receive()
            assert message is not None, "it ended"
            self._changes.append(message)
            if wanted(message["payload"]):
                return message

    def end(self) -> int:
        """End the input and return the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)


def _is_change(payload: Any) -> bool:
    return isinstance(payload, dict) and payload["type"] in ("change", "changed")


@contextlib.contextmanager
def local_client(*arguments: str, cwd: Path | None = None) -> Iterator[LocalClient]:
    """Run the command for the block; it must end by itself once its input has."""
    client = LocalClient(*arguments, cwd=cwd)
    try:
        yield client
        if client.process.poll() is None:
            assert client.end() == 0
    finally:
        client.process.kill()
        client.process.wait()
        for stream in (client.process.stdin, client.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
