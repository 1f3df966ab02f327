"""What is at a path right now: calls that never follow a symbolic link.

Paths are bytes, as the kernel has them. On Linux `statx(2)` is asked, because `stat` does not tell the
birth time.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mimetypes
import os
import stat
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

from agent.extended import Extended
from agent.libc import checked, library
from agent.reach import Reached


class State(NamedTuple):
    """What the file system says of one file; times are Unix nanoseconds, 0 where it does not know."""

    mode: int
    """Type and permission bits."""
    size: int
    mtime_ns: int
    atime_ns: int
    ctime_ns: int
    birth_ns: int
    """Below 0 it is none, but tells files apart all the same: see `agent.lives`."""
    uid: int
    gid: int
    device: int
    inode: int
    """Signed: inodes from 2^63 upwards are negative, so that the number fits SQLite's integers."""
    links: int = 1
    flags: int | None = 0
    """Bits of `_FLAGS`; None: not known, in the row of an older journal."""
    extended: Extended | None = None
    """ACL and `user.*` attributes; None: they were not read."""

    @property
    def is_dir(self) -> bool:
        """Tell whether this is a directory."""
        return self.mode & 0o170000 == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        """Tell whether this is a regular file: nothing else has content that can be hashed."""
        return self.mode & 0o170000 == stat.S_IFREG

    @property
    def is_link(self) -> bool:
        """Tell whether this is a symbolic link: it has neither an ACL nor `user.*` attributes (xattr(7))."""
        return self.mode & 0o170000 == stat.S_IFLNK

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

    def same(self, other: State) -> bool:
        """Tell whether nothing differs that is reported, but for the time of reading and what is extended."""
        return (
            self[:3] == other[:3]
            and self[4:10] == other[4:10]  # not atime_ns, nor links
            and self.flags == other.flags
        )

    def adopting(self, other: State) -> State:
        """Return the same with what chmod, chown, chattr and setfattr changed on another look at the file."""
        mine, others = self[:1] + self[6:8], other[:1] + other[6:8]
        if mine == others and self.flags == other.flags and other.extended in (None, self.extended):
            return self
        return self._replace(
            mode=other.mode,
            uid=other.uid,
            gid=other.gid,
            flags=other.flags,
            extended=other.extended or self.extended,
        )

    def having(self, extended: Extended | None) -> State:
        """Return the same with an ACL and attributes; a fifth of the time that `_replace` takes."""
        return State._make((*self[:-1], extended))


def look(path: bytes) -> State | None:
    """Return the state of what is at `path`, None if nothing is there; OSError where it cannot be told."""
    try:
        return _look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    return _look_far(path)


def names(directory: bytes) -> list[bytes]:
    """Return what is in a directory, in order; a link that has taken its place is not followed.

    It is opened once, and closed once, for those who are told of that. OSError: those of open(2).
    """
    if os.listdir not in os.supports_fd:
        return sorted(os.listdir(directory))  # noqa: PTH208 - paths are bytes
    with Reached(directory) as near:
        descriptor = os.open(near, _LISTING)
    try:
        return sorted(map(os.fsencode, os.listdir(descriptor)))  # noqa: PTH208
    finally:
        os.close(descriptor)


def flag_names(flags: int) -> list[str]:
    """Return what flags are called, as chattr(1) and statx(2) do."""
    return [name for bit, name in _FLAGS.items() if flags & bit]


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


def held(moment_ns: int) -> int:
    """Return the nearest moment that 64 bits hold: anybody may set later ones, which file systems keep."""
    return moment_ns if -_SIGN <= moment_ns < _SIGN else (_SIGN - 1 if moment_ns > 0 else -_SIGN)


def _look_far(path: bytes) -> State | None:
    try:
        with Reached(path) as near:
            return _look(near)
    except (FileNotFoundError, NotADirectoryError):
        return None


_LISTING = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"))

_FLAGS = {
    0x4: "compressed",
    0x10: "immutable",
    0x20: "append",
    0x40: "nodump",
    0x800: "encrypted",
    0x8000: "hidden",
    0x10_0000: "verity",
    0x20_0000: "dax",
}
"""As statx(2) has them; `hidden` is what macOS has beyond those."""
_SHOWN = sum(_FLAGS)
_OF_BSD = {
    stat.UF_NODUMP: 0x40,
    stat.UF_IMMUTABLE | stat.SF_IMMUTABLE: 0x10,
    stat.UF_APPEND | stat.SF_APPEND: 0x20,
    stat.UF_COMPRESSED: 0x4,
    stat.UF_HIDDEN: 0x8000,
}
"""chflags(2)."""


def _of_bsd(flags: int) -> int:
    return sum(bit for theirs, bit in _OF_BSD.items() if flags & theirs)


def _lstat(path: bytes) -> State:
    found = os.lstat(path)
    return State(
        found.st_mode,
        found.st_size,
        held(found.st_mtime_ns),
        held(found.st_atime_ns),
        held(found.st_ctime_ns),
        int(getattr(found, "st_birthtime", 0) * 1_000_000_000),
        found.st_uid,
        found.st_gid,
        found.st_dev,
        _signed(found.st_ino),
        found.st_nlink,
        _of_bsd(getattr(found, "st_flags", 0)),
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
        call = library().statx
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]

    def look_closely(path: bytes) -> State:
        buffer = ctypes.create_string_buffer(256)
        checked(call(_AT_FDCWD, path, _AT_SYMLINK_NOFOLLOW, _BASIC_AND_BIRTH, buffer), path)
        values = _STATX.unpack_from(buffer)
        return State(
            values[6],
            values[8],
            held(values[17] * _SECOND_NS + values[18]),
            held(values[11] * _SECOND_NS + values[12]),
            held(values[15] * _SECOND_NS + values[16]),
            held(values[13] * _SECOND_NS + values[14]),
            values[4],
            values[5],
            os.makedev(values[21], values[22]),
            _signed(values[7]),
            values[3],
            values[2] & _SHOWN,
        )

    try:
        look_closely(b"/")
    except OSError:
        return None
    return look_closely


_look: Callable[[bytes], State] = _statx() or _lstat
