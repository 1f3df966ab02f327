"""The one directory below which fswire writes transfers: a fresh directory each, and nothing else is touched.

While a file is fetched it is `.part`; once it is whole it gets its name in the same directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "tmp"
_PART = ".part"
_LOCK = ".lock"


class RootRefused(Exception):
    """The root cannot be used; the message says why."""


class Root:
    """Held by one process at a time, until `close`."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self.path = path.resolve()
            with contextlib.ExitStack() as held:
                self._lock = held.enter_context((self.path / _LOCK).open("a"))
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.pop_all()
        except BlockingIOError:
            raise RootRefused(f"root = {path}: another `fswire transfers` writes there") from None
        except OSError as error:
            raise RootRefused(f"root = {path}: {error.strerror}") from error

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def fresh(self) -> str:
        """Make a directory; return its name."""
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.path)).name

    def has(self, directory: str) -> bool:
        """Tell whether a directory of that name is there, and is one."""
        path = self._of(directory)
        return bool(directory) and path.is_dir() and not path.is_symlink()

    def place(self, directory: str) -> str:
        """Return the path of a directory, as clients see it."""
        return str(self._of(directory))

    def holds(self, local_dir: str) -> bool:
        """Tell whether a path that a client named lies at or below the root."""
        return Path(os.path.normpath(local_dir)).is_relative_to(self.path)

    def part(self, directory: str) -> Path:
        """Return the path of a file that is not whole yet."""
        return self._of(directory) / _PART

    def finished(self, directory: str, file: str) -> Path:
        """Return the path of a whole file."""
        return self._of(directory) / _one_name(file)

    def finish(self, directory: str, file: str) -> Path:
        """Give a whole file its name. Raises OSError."""
        return self.part(directory).replace(self.finished(directory, file))

    def remove(self, directory: str, file: str) -> None:
        """Remove what was written for one transfer; what somebody else put there stays."""
        if not self.has(directory):
            return
        self.part(directory).unlink(missing_ok=True)
        if file:
            self.finished(directory, file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something that is not ours
            self._of(directory).rmdir()

    def sweep(self, known: set[str]) -> None:
        """Remove empty directories that no transfer has: one was made, and its maker ended at once."""
        for path in self.path.glob(f"{_PREFIX}*"):
            if path.name not in known and path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()

    def free_bytes(self) -> int:
        """Return how much the disk can still take."""
        return shutil.disk_usage(self.path).free

    def _of(self, directory: str) -> Path:
        return self.path / _one_name(directory)


def _one_name(name: str) -> str:
    if "/" in name or "\0" in name or name in ("..", "."):
        raise ValueError(f"not the name of one file: {name!r}")
    return name
