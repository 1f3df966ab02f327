"""Paths longer than the kernel takes in one call: reached through a directory on the way.

What is given in their place, `/proc/self/fd/N/…` (proc_pid_fd(5)), is short and good for any call: the last
name is the same, so a link at the end stays the object.
"""

from __future__ import annotations

import errno
import os

PATH_MAX = 4096
"""Of linux/limits.h, with the NUL at the end."""
_STEP_BYTES = 3500
_FLAGS = ("O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_HOW = os.O_RDONLY | sum(getattr(os, name, 0) for name in _FLAGS)


class Reached:
    """Gives a path as it is, or what stands for it within the block. OSError: those of open(2)."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> bytes:
        if len(self._path) < PATH_MAX:
            return self._path
        try:
            return self._enter_far()
        except OSError:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _enter_far(self) -> bytes:
        """Open one directory from the other, none further away than the kernel takes."""
        rest = self._path
        descriptor: int | None = None
        while len(rest) > _STEP_BYTES:
            cut = rest.rindex(b"/", 0, _STEP_BYTES)
            step, rest = rest[:cut], rest[cut + 1 :]
            above, descriptor = descriptor, os.open(step, _HOW, dir_fd=descriptor)
            self._descriptor = descriptor
            if above is not None:
                os.close(above)
        near = b"/proc/self/fd/%d" % (descriptor or 0)
        if not os.path.lexists(near):
            raise OSError(errno.ENAMETOOLONG, "further away than the kernel takes, and /proc is not there")
        return near + b"/" + rest
