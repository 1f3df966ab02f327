"""The kernel's queue of whole file systems' events (fanotify(7)), read through libc.

Needs CAP_SYS_ADMIN. A thread reads as soon as anything comes, because the processes that did it may be gone
in a moment; what it read is given to `take`, which is called with this object's lock held, on that thread or
on the one that calls `drain`, and tells whether any of it was of interest.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator

from agent.fan_records import CHANGES, OPEN_EXEC
from agent.libc import checked, library
from agent.reach import Reached

_CLOSE_ON_EXEC, _NONBLOCKING = 0x1, 0x2
_REPORT_DIR_AND_NAME = 0x400 | 0x800
_ADD_FILESYSTEM = 0x1 | 0x100
_HERE = -100
_INT, _POINTER = ctypes.c_int, ctypes.c_void_p
_HANDLE_FOR_COMPARISON = 0x200
"""AT_HANDLE_FID, since Linux 6.5: also on file systems whose handles cannot be opened (overlayfs)."""
_MAX_HANDLE_BYTES = 128
_ID_BYTES = 8
"""Of a file system's id, which stands before the handle."""
_PROGRAMS = (b"/", b"/usr")
_EVENT_BYTES = 24
_READ_BYTES = 64 * 1024
_NAP_S, _USELESS, _REST_S = 0.002, 64, 0.01
"""While only other parts of the file system are busy, reading waits a little more each time, up to 2 ms."""
_READS = 64
"""Reads at a stretch: who waits for the lock waits for no more than this."""


class Fanotify:
    """A fanotify group that watches the file systems of the paths it is asked about. A context manager.

    Raises OSError where this process may not, or the kernel or the file system cannot.
    """

    def __init__(self, root: bytes, extra_mask: int, take: Callable[[Iterator[bytes]], bool]) -> None:
        self._libc = library()
        self._libc.fanotify_mark.argtypes = [_INT, ctypes.c_uint, ctypes.c_uint64, _INT, ctypes.c_char_p]
        self._libc.open_by_handle_at.argtypes = [_INT, ctypes.c_char_p, _INT]
        self._libc.name_to_handle_at.argtypes = [_INT, ctypes.c_char_p, _POINTER, _POINTER, _INT]
        self._mask = CHANGES | extra_mask
        self._root = root
        self._take = take
        self._file_systems: dict[int, bytes] = {}
        self._paths: list[bytes] = []
        self._handle_flags = _HANDLE_FOR_COMPARISON
        self.lock = threading.Lock()
        self.empty = True
        """The last read found nothing more in the kernel's queue."""
        how = _CLOSE_ON_EXEC | _NONBLOCKING | _REPORT_DIR_AND_NAME
        self._descriptor = checked(self._libc.fanotify_init(how, os.O_RDONLY | os.O_CLOEXEC))
        try:
            self.handle(root)
        except OSError:
            os.close(self._descriptor)
            raise
        self._stop_reader, self._stop_writer = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._drain_for_ever, name="fanotify", daemon=True)

    def __enter__(self) -> Fanotify:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_writer, b"x")
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Let go of the group; its thread has ended or was never started."""
        for descriptor in (self._descriptor, self._stop_reader, self._stop_writer):
            os.close(descriptor)

    def handle(self, path: bytes) -> bytes:
        """Return the bytes by which events name a directory; its file system is watched from now on.

        OSError: those of name_to_handle_at(2) and fanotify_mark(2): EOPNOTSUPP, ENODEV, EXDEV where the file
        system cannot be watched.
        """
        handle = (ctypes.c_char * (8 + _MAX_HANDLE_BYTES))()
        struct.pack_into("=I", handle, 0, _MAX_HANDLE_BYTES)
        mount = ctypes.c_int()
        with Reached(path) as near:
            self._call_for_handle(near, handle, mount)
            size = 8 + struct.unpack_from("=I", handle)[0]
            file_system = self._file_systems.get(mount.value) or self._met(mount.value, near)
        return file_system + handle.raw[:size]

    def ask_for(self, extra_mask: int) -> None:
        """Have other kinds told from now on, of the file systems that are met from now on too."""
        self._mask = CHANGES | extra_mask
        for path in self._paths:
            with contextlib.suppress(OSError):
                self._mark(path, self._mask)

    def watch_programs(self) -> None:
        """Have events told, too, when the programs of this machine are opened to be executed."""
        for path in _PROGRAMS:
            with contextlib.suppress(OSError):
                self._mark(path, OPEN_EXEC)

    def locate(self, handle: bytes) -> bytes:
        """Return the path of a directory that an event names; needs CAP_DAC_READ_SEARCH. Raises OSError."""
        for path in (*_PROGRAMS, self._root):
            if _file_system_id(path) == handle[:_ID_BYTES]:
                return self._locate(path, handle[_ID_BYTES:])
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def drain(self) -> bool:
        """Read here and now what the kernel has; `empty` tells whether that was all. False: all of no use."""
        with self.lock:
            return self._take(self._reads())

    def queued(self) -> int:
        """Return the number of events in the kernel's queue."""
        count = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        return count[0] // _EVENT_BYTES

    def _call_for_handle(self, path: bytes, handle: ctypes.Array[ctypes.c_char], mount: ctypes.c_int) -> None:
        call = self._libc.name_to_handle_at
        result = call(_HERE, path, handle, ctypes.byref(mount), self._handle_flags)
        if result < 0 and ctypes.get_errno() == errno.EINVAL and self._handle_flags:
            self._handle_flags = 0
            result = call(_HERE, path, handle, ctypes.byref(mount), 0)
        checked(result, path)

    def _met(self, mount: int, path: bytes) -> bytes:
        """Watch the file system of a mount that was not met before; returns its id."""
        self._mark(path, self._mask)
        self._paths.append(path)
        self._file_systems[mount] = _file_system_id(path)
        return self._file_systems[mount]

    def _mark(self, path: bytes, mask: int) -> None:
        checked(self._libc.fanotify_mark(self._descriptor, _ADD_FILESYSTEM, mask, _HERE, path), path)

    def _locate(self, mounted: bytes, handle: bytes) -> bytes:
        mount = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = checked(self._libc.open_by_handle_at(mount, handle, os.O_PATH | os.O_CLOEXEC))
        finally:
            os.close(mount)
        try:
            return os.readlink(b"/proc/self/fd/%d" % found)  # noqa: PTH115 - in bytes
        finally:
            os.close(found)

    def _drain_for_ever(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        useless = 0
        while True:
            asleep = time.monotonic()
            ready = poll.poll()
            if any(descriptor == self._stop_reader for descriptor, _ in ready):
                return
            rested = time.monotonic() - asleep > _REST_S
            useless = 0 if self.drain() or rested else useless + 1
            time.sleep(min(_NAP_S, useless * _NAP_S / _USELESS))

    def _reads(self) -> Iterator[bytes]:
        self.empty = False
        for _ in range(_READS):
            with contextlib.suppress(BlockingIOError):
                yield os.read(self._descriptor, _READ_BYTES)
                continue
            self.empty = True
            return


def _file_system_id(path: bytes) -> bytes:
    return struct.pack("=Q", os.statvfs(path).f_fsid)


def refusal(root: bytes) -> str | None:
    """Return why fanotify cannot watch a directory's file system, None if it can."""
    try:
        Fanotify(root, 0, lambda _: False).close()
    except OSError as error:
        return _WHY.get(error.errno or 0, f"fanotify: {error.strerror}")
    except AttributeError:
        return "there is no fanotify here"
    return None


_WHY = {
    errno.EPERM: "fanotify needs CAP_SYS_ADMIN",
    errno.EINVAL: "fanotify with FAN_RENAME needs Linux 5.17",
    errno.ENOSYS: "this kernel has no fanotify",
    errno.EOPNOTSUPP: "this file system has no handles for fanotify",
    errno.ENODEV: "this file system has no id for fanotify",
    errno.EXDEV: "this subvolume has an id of its own, which fanotify refuses",
}
