"""Run a command that ends with its supervisor, even if that is killed: `python lifeline.py HOW COMMAND…`.

On Linux the kernel is asked to kill the command when its parent dies (`PR_SET_PDEATHSIG`, prctl(2)) and this
process becomes the command. Elsewhere it stays, and kills the command when standard input, a pipe that only
the supervisor holds, closes. Either way the command is in a session of its own, whose group is this process's
id. Imports nothing of ours, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_ORPHANED = 125


def shim(command: list[str], *, by_kernel: bool = sys.platform == "linux") -> list[str]:
    """Return the command line that runs `command` bound to the life of this process.

    Whoever starts it does so from its main thread (the kernel watches the thread) and gives it a pipe of its
    own as standard input.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()) if by_kernel else "attend", *command]


def become(parent: int, command: list[str]) -> None:
    """Become `command`, to be killed when `parent` ends. Linux."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) refused")
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(_ORPHANED)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execvp(command[0], command)


def attend(command: list[str]) -> int:
    """Run `command`, pass signals on to it, kill it when standard input closes; return its exit status."""
    early: list[int] = []
    _hear(early.append)  # one that comes now would end this process alone, and leave the command behind
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        _hear(child.send_signal)
        for received in early:
            child.send_signal(received)
        threading.Thread(target=_kill_at_end_of_input, daemon=True).start()
        status = child.wait()
    return status if status >= 0 else 128 - status


def _hear(handle: Callable[[int], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: handle(received))


def _kill_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.setsid()
    if sys.argv[1] != "attend":
        become(int(sys.argv[1]), sys.argv[2:])
    sys.exit(attend(sys.argv[2:]))
