"""A part: one process of the local stack, from its start to its end, and what it said.

In flows a command; out flow its lines (to a rotated log, the last of them kept in memory) and its status.
The process ends with this one, whatever happens: see `deploy.lifeline`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from deploy import lifeline

KEPT_LINES = 20
"""Last words: shown when a part dies."""
_LOG_BYTES = 2_000_000
_LINE_BYTES = 64 * 1024
_DRAIN_S = 2.0


@dataclass(frozen=True)
class Spec:
    """What a part is: how to run it, how it says that it serves, how long it may take to stop."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    """All of it: nothing is inherited. Secrets go this way, never on the command line."""
    directory: Path | None = None
    serves: Callable[[str], bool] = lambda line: logged(line).get("event") == "started"
    grace_s: float = 10.0


def logged(line: str) -> dict[str, object]:
    """Return a JSON log line as a dict; any other line as an empty one."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            return entry if isinstance(entry, dict) else {}
    return {}


class Part:
    """One life of a part. `start`, then `ended`; `serving` is set once it says so."""

    def __init__(self, spec: Spec, log_dir: Path, heard: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.serving = asyncio.Event()
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._log_file = log_dir / f"{spec.name}.log"
        self._heard = heard
        self._process: asyncio.subprocess.Process | None = None
        self._ended: asyncio.Task[int] | None = None

    async def start(self) -> None:
        """Start the process. Raises OSError if there is no such directory."""
        # A pipe of our own: whatever the process started may keep it open, which must not hide the end.
        output, write_end = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *lifeline.shim(self.spec.command),
                cwd=self.spec.directory,
                env={**self.spec.environment},
                stdin=asyncio.subprocess.PIPE,
                stdout=write_end,
                stderr=write_end,
            )
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(write_end)
        self._ended = asyncio.create_task(self._live(self._process, output))

    async def ended(self) -> int:
        """Wait for the process's end, all its output read; return the exit status, negative for a signal."""
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    @property
    def alive(self) -> bool:
        """Tell whether the process has been started and its end has not been seen."""
        return self._ended is not None and not self._ended.done()

    def terminate(self) -> None:
        """Ask the process to stop."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and whatever it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.returncode is None:
            self._process.kill()

    async def _live(self, process: asyncio.subprocess.Process, output: int) -> int:
        listening = asyncio.create_task(self._listen(output))
        status = await process.wait()
        self.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listening, _DRAIN_S)
        return status

    async def _listen(self, output: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb")
        )
        with contextlib.closing(transport), _log(self._log_file) as write:
            async for line in _lines(stream):
                write(line)
                self.last_lines.append(line)
                if not self.serving.is_set() and self.spec.serves(line):
                    self.serving.set()
                self._heard(self.spec.name, line)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    held = b""
    while chunk := await stream.read(_LINE_BYTES):
        *whole, held = (held + chunk).split(b"\n")
        if len(held) > _LINE_BYTES:
            whole, held = [*whole, held], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    if held:
        yield held.decode(errors="replace")


@contextlib.contextmanager
def _log(path: Path) -> Iterator[Callable[[str], None]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    with contextlib.closing(handler):
        yield lambda line: handler.emit(logging.LogRecord("", logging.INFO, "", 0, line, None, None))
