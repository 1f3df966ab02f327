"""The sha256 of a file's content, or why there is none: stat, hash and stat again on one descriptor.

Holes of a sparse file are read like anything else. A write through one hard link changes what the others
name, and inotify tells of the one alone: the others are hashed again by the next scan.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.event import HashStatus
from agent.extended import outdated
from agent.files import State, held
from agent.hash_rate import HashRate
from agent.own import Window
from agent.reach import Reached

_ATTEMPTS = 3
_BLOCK_BYTES = 256 * 1024
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_ATIME = getattr(os, "O_NOATIME", 0)
_NEVER = threading.Event()


class Digest(NamedTuple):
    """What hashing gave: a sha256 only with status `ok`, and the file's state as of that content."""

    status: HashStatus
    sha256: bytes | None
    state: State


@dataclass
class Hasher:
    """Hashes regular files of at most `max_bytes`, no faster than `rate`; `max_bytes` 0 turns hashing off."""

    max_bytes: int
    rate: HashRate = field(default_factory=HashRate)
    device: Callable[[int], int] = int
    """Gives the number by which states know a device: see `agent.devices`."""

    def refusal(self, state: State) -> Digest | None:
        """Return the digest of what is not read at all, None for a file that is to be hashed."""
        if not state.is_regular:
            return Digest("not_regular", None, state)
        if not self.max_bytes:
            return Digest("off", None, state)
        return Digest("too_large", None, state) if state.size > self.max_bytes else None

    def digest(
        self,
        path: bytes,
        state: State,
        window: Window | None = None,
        given_up: threading.Event = _NEVER,
    ) -> Digest:
        """Hash the file at `path`, which was just seen in `state`; called on any thread.

        A file that keeps changing is tried three times and then `unstable`; if another file is at the path by
        now, or none, the answer is `vanished`. Never opens a FIFO, a device or a socket, nor follows a link.
        `given_up` is set, on any thread, when nobody waits for the digest any more: it is `unstable` then.
        """
        if refused := self.refusal(state):
            return refused
        try:
            descriptor = _open(path)
        except OSError as error:
            return Digest(_refused(error), None, state)
        try:
            if window:
                window.opened()
            return self._settled(descriptor, state, given_up)
        except OSError:
            return Digest("unreadable", None, state)
        finally:
            if window:
                window.closing()
            os.close(descriptor)

    def _settled(self, descriptor: int, state: State, given_up: threading.Event) -> Digest:
        before = os.fstat(descriptor)
        if (self.device(before.st_dev), before.st_ino) != (state.device, state.inode % 2**64):
            return Digest("vanished", None, state)
        if not stat.S_ISREG(before.st_mode):
            return Digest("not_regular", None, state)
        for _ in range(_ATTEMPTS):
            if before.st_size > self.max_bytes:
                return Digest("too_large", None, _updated(state, before))
            sha256 = self._read(descriptor, before.st_size, given_up)
            after = os.fstat(descriptor)
            if sha256 is not None and _stamp(before) == _stamp(after):
                return Digest("ok", sha256, _updated(state, after))
            before = after
            if given_up.is_set():
                break
        return Digest("unstable", None, _updated(state, before))

    def _read(self, descriptor: int, size: int, given_up: threading.Event) -> bytes | None:
        """Hash from the start; None as soon as there is more than `size`, or nobody waits for it."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        sha256 = hashlib.sha256()
        left = size
        while block := os.read(descriptor, min(left + 1, _BLOCK_BYTES)):
            left -= len(block)
            if left < 0:
                return None
            sha256.update(block)
            delay_s = self.rate.take(len(block))
            if given_up.wait(delay_s) if delay_s else given_up.is_set():
                return None
        return sha256.digest()


def _open(path: bytes) -> int:
    try:
        return _open_near(path, _FLAGS | _NO_ATIME)
    except PermissionError:  # O_NOATIME is for the file's owner alone: open(2)
        if not _NO_ATIME:
            raise
        return _open_near(path, _FLAGS)


def _open_near(path: bytes, flags: int) -> int:
    with Reached(path) as near:
        return os.open(near, flags)


def _refused(error: OSError) -> HashStatus:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "vanished"
    return "not_regular" if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR) else "unreadable"


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, held(found.st_mtime_ns), held(found.st_ctime_ns)


def _updated(state: State, found: os.stat_result) -> State:
    if (state.size, state.mtime_ns, state.ctime_ns) == _stamp(found):
        return state
    size, mtime_ns, ctime_ns = _stamp(found)
    extended = outdated(state.extended)
    return state._replace(size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns, extended=extended)
