"""The process of `fswire watch`: standard input and output around `deploy.watch_local`, until either ends.

An editor waits for its start: it imports neither a broker's client nor anything else that it can do without.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

_READ_BYTES = 64 * 1024
_GRACE_S = 2.0
"""How long an end waits for a client that does not read."""


def main(dialect: str) -> int:
    """Serve until the end of input, SIGTERM or SIGINT; returns the exit status."""
    if sys.platform != "linux":
        sys.stderr.write(f"fswire watch: on {sys.platform} there is no source for it yet\n")
        return 1
    # structlog imports rich where it is there, for tracebacks that this process never shows: 60 ms
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from agent import log
    from deploy.watch_local import LocalWatch
    from processors.watch_messages import Dialect

    log.configure("watch", level="WARNING")
    if None in (sys.stdin, sys.stdout):
        return 0  # closed by whoever started it: the end, and no error
    over = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: over.set())
    output = _Output(over)
    client = LocalWatch(Dialect(dialect), output.write, over.set)
    client.start()
    threading.Thread(target=client.read, args=(_read,), daemon=True).start()
    over.wait()
    client.stop(_GRACE_S)
    return output.status()


class _Output:
    """Standard output; nothing follows what could not be written."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._failure: OSError | None = None

    def write(self, lines: bytes) -> None:
        """Write whole lines, as fast as they are read; that this fails is the end."""
        left = memoryview(lines)
        try:
            while left and self._failure is None:
                left = left[_write(left) :]
        except OSError as error:
            self._failure = error
            self._over.set()

    def status(self) -> int:
        """Return the exit status; that the reader has gone is no error."""
        if self._failure is None or isinstance(self._failure, BrokenPipeError | ConnectionResetError):
            return 0
        sys.stderr.write(f"fswire watch: standard output: {self._failure.strerror}\n")
        return 1


def _write(lines: memoryview) -> int:
    while True:
        try:
            return os.write(sys.stdout.fileno(), lines)
        except BlockingIOError:  # another process that has the same pipe or terminal made it so
            select.select((), (sys.stdout,), ())


def _read() -> bytes:
    """Return what has come; nothing at the end, which one that cannot be read is at."""
    while True:
        try:
            return os.read(sys.stdin.fileno(), _READ_BYTES)
        except BlockingIOError:
            select.select((sys.stdin,), (), ())
        except OSError as error:
            sys.stderr.write(f"fswire watch: standard input: {error.strerror}\n")
            return b""
