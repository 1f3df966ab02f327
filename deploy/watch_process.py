"""The process of `fswire watch`: standard input and output around `deploy.watch_local`, until either ends.

An editor waits for its start: it imports neither a broker's client nor anything else that it can do without.
"""

from __future__ import annotations

import functools
import os
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
    over = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: over.set())
    client = LocalWatch(Dialect(dialect), functools.partial(_write, over), over.set)
    client.start()
    threading.Thread(target=client.read, args=(_read,), daemon=True).start()
    over.wait()
    client.stop(_GRACE_S)
    return 0


def _read() -> bytes:
    return os.read(sys.stdin.fileno(), _READ_BYTES)


def _write(over: threading.Event, lines: bytes) -> None:
    """Write to standard output; that its reader has gone is the end, and no error."""
    left = memoryview(lines)
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except BrokenPipeError:
        over.set()
