"""The sha256 of a file's content, or why there is none: stat, hash and stat again on one descriptor."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import NamedTuple

from agent.event import HashStatus
from agent.files import State

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


class Digest(NamedTuple):
    """What hashing gave: a sha256 only with status `ok`, and the file's state as of that content."""

    status: HashStatus
    sha256: bytes | None
    state: State


@dataclass(frozen=True)
class Hasher:
    """Hashes regular files of at most `max_bytes`; 0 turns hashing off."""

    max_bytes: int

    def digest(self, path: bytes, state: State) -> Digest:
        """Hash the file at `path`, which was just seen in `state`.

        A file that keeps changing is tried three times and then `unstable`; if another file is at the path by
        now, or none, the answer is `vanished`. Never opens a FIFO, a device or a socket, nor follows a link.
        """
        if not state.is_regular:
            return Digest("not_regular", None, state)
        if not self.max_bytes:
            return Digest("off", None, state)
        if state.size > self.max_bytes:
            return Digest("too_large", None, state)
        try:
            descriptor = _open(path)
        except OSError as error:
            return Digest(_refused(error), None, state)
        try:
            return self._settled(descriptor, state)
        except OSError:
            return Digest("unreadable", None, state)
        finally:
            os.close(descriptor)

    def _settled(self, descriptor: int, state: State) -> Digest:
        before = os.fstat(descriptor)
        if (before.st_dev, before.st_ino) != (state.device, state.inode % 2**64):
            return Digest("vanished", None, state)
        if not stat.S_ISREG(before.st_mode):
            return Digest("not_regular", None, state)
        for _ in range(_ATTEMPTS):
            sha256 = self._read(descriptor, before.st_size)
            after = os.fstat(descriptor)
            if sha256 is None:
                return Digest("too_large", None, _updated(state, after))
            if _stamp(before) == _stamp(after):
                return Digest("ok", sha256, _updated(state, after))
            before = after
        return Digest("unstable", None, _updated(state, before))

    def _read(self, descriptor: int, size: int) -> bytes | None:
        """Hash from the start; None as soon as there is more than `max_bytes`."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        sha256 = hashlib.sha256()
        total = 0
        while block := os.read(descriptor, min(size + 1, _BLOCK_BYTES)):
            total += len(block)
            if total > self.max_bytes:
                return None
            sha256.update(block)
        return sha256.digest()


def _open(path: bytes) -> int:
    try:
        return os.open(path, _FLAGS | _NO_ATIME)
    except PermissionError:  # O_NOATIME is for the file's owner alone: open(2)
        if not _NO_ATIME:
            raise
        return os.open(path, _FLAGS)


def _refused(error: OSError) -> HashStatus:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "vanished"
    return "not_regular" if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR) else "unreadable"


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _updated(state: State, found: os.stat_result) -> State:
    if (state.size, state.mtime_ns, state.ctime_ns) == _stamp(found):
        return state
    size, mtime_ns, ctime_ns = _stamp(found)
    return state._replace(size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)
