"""Renames that leave something behind: renameat2(2)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

_AT_HERE = -100
_EXCHANGE = 2
_WHITEOUT = 4


def exchange(one: Path, other: Path) -> None:
    """Let two files swap their names (RENAME_EXCHANGE)."""
    error = _rename(one, other, _EXCHANGE)
    assert not error, os.strerror(error)


def leave_whiteout(old: Path, new: Path) -> None:
    """Rename a file and leave a whiteout in its place (RENAME_WHITEOUT); skip the test where it cannot."""
    error = _rename(old, new, _WHITEOUT)
    if error:
        pytest.skip(f"no whiteout can be made here: {os.strerror(error)}")


def _rename(old: Path, new: Path, flags: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_HERE, os.fsencode(old), _AT_HERE, os.fsencode(new), flags)
    return ctypes.get_errno() if done else 0
