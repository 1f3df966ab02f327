"""What a file has beside its content and mode: POSIX ACL and `user.*` attributes (xattr(7)).

One system call tells that a file has none, which is the rule; a file system that has none at all is not asked
again. What cannot be read is left out.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from typing import NamedTuple

from agent import acl
from agent.event import Stream
from agent.reach import Reached

_USER = "user."
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_NOT_HERE = frozenset((errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


class Extended(NamedTuple):
    """The ACL and the named streams of one file; without any it is one of two constants."""

    acl: str = ""
    """See `agent.acl.text`; `""`: nothing beyond the mode bits."""
    streams: tuple[Stream, ...] = ()
    """In the order of their names."""
    current: bool = True
    """False: the file has changed since, and nobody has looked at these again."""

    def same(self, other: Extended) -> bool:
        """Tell whether a file with the one has what a file with the other has."""
        return self[:2] == other[:2]


NOTHING = Extended()
NOTHING_BEFORE = Extended(current=False)


def outdated(extended: Extended | None) -> Extended | None:
    """Return the same, to be read again before it is compared."""
    if extended is NOTHING or extended is None:
        return extended and NOTHING_BEFORE
    return extended._replace(current=False)


class Reader:
    """Reads for one tree; remembers which file systems have nothing to read."""

    def __init__(self) -> None:
        self._without: set[int] = set()

    def read(self, path: bytes, device: int) -> Extended | None:
        """Return what the file at `path` on `device` has, None if that cannot be told now."""
        if sys.platform != "linux" or device in self._without:
            return NOTHING
        try:
            with Reached(path) as near:
                names = os.listxattr(near, follow_symlinks=False)
                return _read(near, names) if names else NOTHING
        except OSError as error:
            if error.errno not in _NOT_HERE:
                return None
            self._without.add(device)
            return NOTHING
        except ValueError:
            return None


def _read(path: bytes, names: list[str]) -> Extended:
    access, default = (_value(path, name) if name in names else None for name in (_ACCESS, _DEFAULT))
    text = acl.text(access, default)
    streams = tuple(
        Stream(_text(name[len(_USER) :]), len(value), hashlib.sha256(value).hexdigest())
        for name in sorted(names)
        if name.startswith(_USER) and (value := _value(path, name)) is not None
    )
    return Extended(text, streams) if text or streams else NOTHING


def _value(path: bytes, name: str) -> bytes | None:
    """Return an attribute's value, at most 64 KiB (xattr(7)); None if it has gone since it was listed."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _text(name: str) -> str:
    r"""Return a name that JSON can hold: a byte that is no UTF-8 becomes `\xff`, so names stay distinct."""
    return os.fsencode(name).decode(errors="backslashreplace")
