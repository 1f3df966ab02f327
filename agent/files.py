"""What is at a path right now: one system call that never follows a symbolic link.

Paths are bytes, as the kernel has them. On Linux `statx(2)` is asked, because `stat` does not tell the
birth time.
"""

from __future__ import annotations

import ctypes
import functools
import mimetypes
import os
import stat
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple


class State(NamedTuple):
    """What the file system says of one file; times are Unix nanoseconds, 0 where it does not know."""

    mode: int
    """Type and permission bits."""
    size: int
    mtime_ns: int
    atime_ns: int
    ctime_ns: int
    birth_ns: int
    uid: int
    gid: int
    device: int
    inode: int
    """Signed: inodes from 2^63 upwards are negative, so that the number fits SQLite's integers."""
    links: int = 1

    @property
    def is_dir(self) -> bool:
        """Tell whether this is a directory."""
        return self.mode & 0o170000 == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        """Tell whether this is a regular file: nothing else has content that can be hashed."""
        return self.mode & 0o170000 == stat.S_IFREG

    @property
    def identity(self) -> tuple[int, int, int]:
        """Return device, inode and birth time: equal as long as it is the same file, whatever its name."""
        return self.device, self.inode, self.birth_ns

    def same_content(self, other: State) -> bool:
        """Tell whether content cannot have changed: same file, size, and times of change."""
        return (
            self.size == other.size
            and self.mtime_ns == other.mtime_ns
            and self.ctime_ns == other.ctime_ns
            and self.identity == other.identity
        )


def look(path: bytes) -> State | None:
    """Return the state of what is at `path`, None if nothing is there; OSError where it cannot be told."""
    try:
        return _look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def filetype(name: bytes, mode: int) -> str | None:
    """Return a MIME type by the file's type and name, None if neither tells."""
    other = _TYPES.get(mode & 0o170000)
    if other is not None:
        return other
    stem, dot, extension = name.rpartition(b".")
    return _by_extension(extension) if dot and stem else None


_TYPES = {
    stat.S_IFDIR: "inode/directory",
    stat.S_IFLNK: "inode/symlink",
    stat.S_IFIFO: "inode/fifo",
    stat.S_IFSOCK: "inode/socket",
    stat.S_IFBLK: "inode/blockdevice",
    stat.S_IFCHR: "inode/chardevice",
}


@functools.lru_cache(maxsize=1024)
def _by_extension(extension: bytes) -> str | None:
    kind, encoding = mimetypes.guess_type("x." + os.fsdecode(extension), strict=False)
    return f"application/{encoding}" if encoding else kind


_SIGN = 1 << 63


def _signed(inode: int) -> int:
    return inode - 2 * _SIGN if inode >= _SIGN else inode


def _lstat(path: bytes) -> State:
    found = os.lstat(path)
    return State(
        found.st_mode,
        found.st_size,
        found.st_mtime_ns,
        found.st_atime_ns,
        found.st_ctime_ns,
        int(getattr(found, "st_birthtime", 0) * 1_000_000_000),
        found.st_uid,
        found.st_gid,
        found.st_dev,
        _signed(found.st_ino),
        found.st_nlink,
    )


_STATX = struct.Struct("=IIQIIIHxxQQQQqIxxxxqIxxxxqIxxxxqIxxxxIIII")
"""`struct statx` of linux/stat.h, to stx_dev_minor."""
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_BASIC_AND_BIRTH = 0xFFF
_SECOND_NS = 1_000_000_000


def _statx() -> Callable[[bytes], State] | None:
    """Return a `statx` that fills a State, None where this system has none."""
    if sys.platform != "linux":
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]

    def look_closely(path: bytes) -> State:
        buffer = ctypes.create_string_buffer(256)
        if call(_AT_FDCWD, path, _AT_SYMLINK_NOFOLLOW, _BASIC_AND_BIRTH, buffer) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        values = _STATX.unpack_from(buffer)
        return State(
            values[6],
            values[8],
            values[17] * _SECOND_NS + values[18],
            values[11] * _SECOND_NS + values[12],
            values[15] * _SECOND_NS + values[16],
            values[13] * _SECOND_NS + values[14],
            values[4],
            values[5],
            os.makedev(values[21], values[22]),
            _signed(values[7]),
            values[3],
        )

    try:
        look_closely(b"/")
    except OSError:
        return None
    return look_closely


_look: Callable[[bytes], State] = _statx() or _lstat
