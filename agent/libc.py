"""The C library by ctypes, and what its calls return."""

from __future__ import annotations

import ctypes
import os


def library() -> ctypes.CDLL:
    """Return the C library of this process; each caller declares the calls that it makes."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, path: bytes | None = None) -> int:
    """Return the result of a call, or raise the OSError that its errno says."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
