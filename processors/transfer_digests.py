"""SHA-256, and MD5 where it is expected, of a file that is still being written: beside the network.

They are read from the disk's cache: nothing is queued between writer and readers, so memory is constant
however far a digest lags, and a file that was begun by an earlier process is read from its beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK_BYTES = 1024 * 1024
_NICE = 10
"""The network goes first where processors are few."""


class Sums(NamedTuple):
    """Digests of a whole file, as hex digits."""

    sha256: str
    md5: str = ""
    """Empty where it was not asked for: processors help with SHA-256 and not with it, so it takes longer."""


class Digests:
    """A thread for each digest, that follows one file."""

    def __init__(self, path: Path, *, with_md5: bool) -> None:
        self._path = path
        self._grown = threading.Condition()
        self._told_bytes = 0
        self._size_bytes = 0
        self._whole = False
        self._given_up = False
        self._failure: OSError | None = None
        self._hashes = [hashlib.sha256()]
        if with_md5:
            self._hashes.append(hashlib.md5(usedforsecurity=False))
        self._threads = [
            threading.Thread(target=self._follow, args=(each,), name=each.name, daemon=True)
            for each in self._hashes
        ]
        for thread in self._threads:
            thread.start()

    def grow(self, size_bytes: int) -> None:
        """Note that the file has so many bytes by now."""
        self._size_bytes = size_bytes
        if size_bytes - self._told_bytes >= _BLOCK_BYTES:
            self._tell()

    def finish(self) -> Sums:
        """Return the digests of all bytes, once they are read. Raises OSError."""
        self._whole = True
        self._tell()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return Sums(*(each.hexdigest() for each in self._hashes))

    def close(self) -> None:
        """Give up, if they still read."""
        self._given_up = True
        self._tell()

    def _tell(self) -> None:
        with self._grown:
            self._told_bytes = self._size_bytes
            self._grown.notify_all()

    def _follow(self, digest: Any) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)  # Linux: of this thread alone
        try:
            self._read(digest)
        except OSError as error:
            self._failure = error

    def _read(self, digest: Any) -> None:
        block = memoryview(bytearray(_BLOCK_BYTES))
        done = 0
        with self._path.open("rb", buffering=0) as file:
            while done < self._ready(done):
                count = file.readinto(block[: min(_BLOCK_BYTES, self._told_bytes - done)])
                if not count:
                    raise OSError(f"the file has {done} bytes, {self._told_bytes} were written")
                digest.update(block[:count])
                done += count

    def _ready(self, done: int) -> int:
        """Wait for bytes beyond `done`; return up to where there are some, 0 where nobody wants them."""
        with self._grown:
            self._grown.wait_for(lambda: self._told_bytes > done or self._whole or self._given_up)
        return 0 if self._given_up else self._told_bytes


def digests_of(path: Path, *, with_md5: bool) -> Sums:
    """Return the digests of a file that is whole. Raises OSError."""
    digests = Digests(path, with_md5=with_md5)
    digests.grow(path.stat().st_size)
    return digests.finish()
