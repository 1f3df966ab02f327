"""A process that is stopped where it is for a while, as a machine under load may."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Let a process do nothing while the block runs: what the block does it sees at one time."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
