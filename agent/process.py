"""Who a process is: its user and executable, asked while the kernel still knows it.

A pidfd proves that what was read belongs to one process. Between an event and the look its number could
belong to another only if as many processes as there are numbers (`kernel.pid_max`, 32,768 at least) had been
started in that moment. Of a process that is gone by the time of the look, what it was seen to execute a
moment before still tells.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.event import Actor

_REMEMBERED_S = 1.0
"""How long what was read of a process speaks for it after its end: its number is not given again sooner."""
_REMEMBERED = 1024
_GET_INFO = 0xC040_FF0B
"""PIDFD_GET_INFO, since Linux 6.13, for the 64 bytes of `struct pidfd_info`."""
_INFO_BYTES = 64
_FILE_SYSTEM_UID = struct.Struct("=52xI").unpack_from
_LOADER = re.compile(rb"ld(64|-[\w.-]+)?\.so(\.\d+)*")
"""The ELF interpreter, which the kernel opens last: after it, nothing keeps an execve(2) from succeeding."""


class _Program(NamedTuple):
    directory: bytes
    name: bytes
    uid: int | None
    time_s: float
    loaded: bool = False


class Processes:
    """What was read of processes lately; used on one thread at a time.

    `locate` returns the path of a directory that an event of fanotify names, OSError where it cannot.
    """

    def __init__(self, locate: Callable[[bytes], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._locate = locate
        self._clock = clock
        self._recent: dict[int, tuple[Actor, float]] = {}
        self._programs: dict[int, _Program] = {}

    def executes(self, pid: int, directory: bytes, name: bytes) -> None:
        """Take note that a process opens a file to execute it; of scripts, the last one opened counts."""
        if _LOADER.fullmatch(name):
            program = self._programs.get(pid)
            if program is not None:
                self._programs[pid] = program._replace(loaded=True)
            return
        if len(self._programs) >= _REMEMBERED:
            self._programs.clear()
        self._recent.pop(pid, None)
        self._programs[pid] = _Program(directory, name, uid_of(pid), self._clock())

    def actor(self, pid: int) -> Actor:
        """Return what can be told of a process: uid and exe are left out where nothing told them in time.

        `uid` is the one that its file accesses count as (fsuid): the effective one, but for a few servers.
        """
        found, now = look(pid), self._clock()
        if found.uid is None or found.exe is None:
            earlier, seen_s = self._recent.get(pid, (None, 0.0))
            if earlier is None:
                earlier, seen_s = self._executed(pid, found)
            return earlier if now - seen_s < _REMEMBERED_S else found
        if len(self._recent) >= _REMEMBERED:
            self._recent.clear()
        self._recent[pid] = found, now
        return found

    def _executed(self, pid: int, found: Actor) -> tuple[Actor, float]:
        """Return what is known of a process by what it executed, and since when that is known."""
        program = self._programs.get(pid)
        if program is None or not program.loaded:
            return found, self._clock()
        try:
            path = self._locate(program.directory) + b"/" + program.name
            changes_user = bool(os.stat(path).st_mode & stat.S_ISUID)  # noqa: PTH116 - in bytes
        except OSError:
            return found, self._clock()
        uid = program.uid if found.uid is None and not changes_user else found.uid
        return Actor(pid, uid, path.decode(errors="replace")), program.time_s


def look(pid: int) -> Actor:
    """Ask the kernel about a process now."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return Actor(pid)
    try:
        exe = _exe(pid)
        return Actor(pid, _uid(descriptor, pid), exe)
    except OSError:
        return Actor(pid)
    finally:
        os.close(descriptor)


def uid_of(pid: int) -> int | None:
    """Ask the kernel now for the uid that a process's file accesses count as; None if it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        return _uid(descriptor, pid)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _exe(pid: int) -> str | None:
    """Return the executable; None of a kernel's thread, a zombie, or where CAP_SYS_PTRACE is needed."""
    try:
        return os.readlink(b"/proc/%d/exe" % pid).decode(errors="replace")  # noqa: PTH115 - in bytes
    except OSError:
        return None


def _uid(descriptor: int, pid: int) -> int:
    """Return the uid; OSError if the process is gone, so that nothing read by its number counts."""
    info = bytearray(_INFO_BYTES)
    try:
        fcntl.ioctl(descriptor, _GET_INFO, info)
    except ProcessLookupError:
        raise
    except OSError:
        return _uid_by_status(descriptor, pid)
    uid: int = _FILE_SYSTEM_UID(info)[0]
    return uid


def _uid_by_status(descriptor: int, pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_bytes()
    signal.pidfd_send_signal(descriptor, 0)
    return int(status.partition(b"\nUid:")[2].split(maxsplit=4)[3])
