"""The kernel's queue of file events (inotify(7)), read through libc.

A thread does nothing but move what the kernel has into memory, because the kernel's own queue is short
(`fs.inotify.max_queued_events`, 16,384): records are parsed elsewhere. What was read and is not yet taken is
bounded too; beyond that the kernel's queue fills up, and its overflow is announced like any other.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import select
import termios
import threading
import time
from collections import deque

from agent.libc import checked, library
from agent.reach import Reached
from agent.records import CHANGES, DONT_FOLLOW, EXCL_UNLINK, MASK_CREATE, ONLYDIR, Chunk

_HOW = ONLYDIR | DONT_FOLLOW | EXCL_UNLINK | MASK_CREATE
"""MASK_CREATE: a directory that is watched already is refused (EEXIST), not taken from its first name."""
_READ_BYTES = 64 * 1024
"""Past 128 KiB glibc maps the buffer anew for every read (mallopt(3), M_MMAP_THRESHOLD)."""
_LARGEST_BYTES = 16 + 256
"""Of one record: a read that leaves so much room has emptied the queue."""
_UNREAD_BYTES = 16 * 1024 * 1024


class Inotify:
    """An inotify instance and the thread that drains it. Use as a context manager.

    `wake` is set whenever something was read; who processes clears it, then calls `take`.
    """

    def __init__(self, wake: threading.Event, extra_mask: int = 0) -> None:
        self._libc = library()
        self._libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
        self._mask = CHANGES | extra_mask | _HOW
        self._wake = wake
        self._lock = threading.Lock()
        self._chunks: deque[Chunk] = deque()
        self._read_bytes = 0
        self._empty_ns = time.time_ns()
        """When the kernel's queue was last known to be empty."""
        self._unread_bytes = 0
        self._descriptor = self._stop_reader = self._stop_writer = -1
        self._thread = threading.Thread(target=self._drain_for_ever, name="inotify", daemon=True)

    def __enter__(self) -> Inotify:
        self._descriptor = checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._stop_reader, self._stop_writer = os.pipe2(os.O_CLOEXEC)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_writer, b"x")
        self._thread.join()
        for descriptor in (self._descriptor, self._stop_reader, self._stop_writer):
            os.close(descriptor)

    def add(self, path: bytes) -> int:
        """Watch a directory and return its watch descriptor.

        OSError: EEXIST, it is watched under another name; ENOSPC, no watches are left; and those of open(2).
        """
        return self._add(path, self._mask)

    def ask_for(self, extra_mask: int) -> bool:
        """Have watches that are placed from now on tell these records too; True: others did not so far."""
        before, self._mask = self._mask, CHANGES | extra_mask | _HOW
        return before != self._mask

    def refresh(self, path: bytes) -> int:
        """Give the watch on a directory the present mask and return its watch descriptor.

        No record is lost by it. It is a new watch if the directory had none. OSError: those of open(2).
        """
        mask = self._mask & ~MASK_CREATE
        return self._add(path, mask)

    def remove(self, wd: int) -> None:
        """Stop watching; a watch that the kernel has dropped itself is no error."""
        self._libc.inotify_rm_watch(self._descriptor, wd)

    def take(self) -> Chunk | None:
        """Return the oldest chunk that was not taken yet."""
        with self._lock:
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._unread_bytes -= len(chunk.data)
            return chunk

    def drain(self) -> None:
        """Read here and now all that the kernel has: when it returns, `take` knows all that had happened."""
        with self._lock:
            while self._read_once():
                pass

    @property
    def read_bytes(self) -> int:
        """Return the position up to which records have been read from the kernel: those have happened."""
        return self._read_bytes

    def position(self) -> int:
        """Return the position of the next record to happen: what has happened lies before it."""
        with self._lock:
            return self._read_bytes + self._queued_bytes()

    def empty(self) -> bool:
        """Tell whether neither the kernel nor this object holds an untaken record."""
        with self._lock:
            return not self._chunks and not self._queued_bytes()

    def _drain_for_ever(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        while True:
            ready = poll.poll()
            if any(descriptor == self._stop_reader for descriptor, _ in ready):
                return
            with self._lock:
                full = self._unread_bytes > _UNREAD_BYTES
                if not full:
                    self._read_once()
            self._wake.set()
            if full:
                time.sleep(0.005)

    def _read_once(self) -> bool:
        began_ns = time.time_ns()
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            self._empty_ns = began_ns
            return False
        self._chunks.append(Chunk(data, time.time_ns(), self._read_bytes, self._empty_ns))
        if len(data) <= _READ_BYTES - _LARGEST_BYTES:
            self._empty_ns = began_ns
        self._read_bytes += len(data)
        self._unread_bytes += len(data)
        return True

    def _add(self, path: bytes, mask: int) -> int:
        with Reached(path) as near:
            return checked(self._libc.inotify_add_watch(self._descriptor, near, mask), path)

    def _queued_bytes(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        return count[0]
