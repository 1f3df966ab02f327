"""fanotify's events of one tree, told as inotify's records, so that one session follows either.

What other parts of the file system do, and what the agent does, is dropped as it is read. A record may have
several bits, for things that happened in no order that could be told. Directories have numbers as inotify's
watches do; that of the root, which is the first, also tells of its end.
"""

from __future__ import annotations

import itertools
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator

from agent.event import Actor
from agent.fan_records import CHANGES, OPEN_EXEC, RENAME, Told, parse
from agent.fanotify import Fanotify
from agent.process import Processes
from agent.records import (
    ACCESSES,
    DELETE,
    DELETE_SELF,
    ISDIR,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
    Chunk,
    Record,
)
from agent.who import Nobody

_ROOT_WD = 1
_NO_WD = -1
_RECORD = struct.Struct("iIII")
_UNREAD_BYTES = 16 * 1024 * 1024


class Doers(Nobody):
    """Who did what the records tell, asked in their order."""

    def __init__(self) -> None:
        self._doers: deque[tuple[int, Actor]] = deque()

    def note(self, position: int, actor: Actor) -> None:
        """Remember who did what the record at a position tells."""
        self._doers.append((position, actor))

    def of(self, record: Record) -> Actor | None:
        """Return who did what a record tells."""
        while self._doers and self._doers[0][0] < record.position:
            self._doers.popleft()
        if self._doers and self._doers[0][0] == record.position:
            return self._doers[0][1]
        return None

    def is_own(self, record: Record) -> bool:  # noqa: ARG002 - as Who
        """Tell that nothing is the agent's: what it does is dropped as it is read."""
        return False


class FanQueue:
    """A queue of records like `agent.inotify.Inotify`; `who` tells of each who did it, if `actors` says so.

    `wake` is set whenever there is a record. Raises OSError where fanotify cannot be used.
    """

    def __init__(self, root: bytes, wake: threading.Event, extra_mask: int, *, actors: bool) -> None:
        self._wake = wake
        self._actors = actors
        self._wanted = CHANGES | extra_mask
        self._own_pid = os.getpid()
        self._cookies = itertools.cycle(range(1, 1 << 31))
        self._wds = itertools.count(_ROOT_WD)
        self._by_directory: dict[bytes, int] = {}
        self._by_wd: dict[int, bytes] = {}
        self._chunks: deque[Chunk] = deque()
        self.who = Doers()
        self.read_bytes = self._taken_bytes = 0
        self._empty_ns = time.time_ns()
        self._fanotify = Fanotify(root, extra_mask, self._take)
        self._processes = Processes(self._fanotify.locate)
        if actors:
            self._fanotify.watch_programs()
        self._above = self._fanotify.handle(os.path.dirname(root)), os.path.basename(root)  # noqa: PTH119, PTH120

    def __enter__(self) -> FanQueue:
        self._fanotify.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._fanotify.__exit__()

    def add(self, path: bytes) -> int:
        """Tell of a directory from now on, under the number that is returned; OSError: as `Fanotify.handle`.

        One that is told of already has another name by now, or two: it is told of under the last.
        """
        directory = self._fanotify.handle(path)
        wd = next(self._wds)
        self._by_wd[wd] = directory
        self._by_directory[directory] = wd
        return wd

    def remove(self, wd: int) -> None:
        """Tell of a directory no longer."""
        directory = self._by_wd.pop(wd, b"")
        if self._by_directory.get(directory) == wd:
            del self._by_directory[directory]

    def refresh(self, path: bytes) -> int:
        """Return the number of a directory; what is told of it is the same for all."""
        return self._by_directory.get(self._fanotify.handle(path), _NO_WD)

    def ask_for(self, extra_mask: int) -> bool:
        """Have other kinds told from now on; False: no directory needs to be told anew."""
        self._wanted = CHANGES | extra_mask
        self._fanotify.ask_for(extra_mask)
        return False

    def take(self) -> Chunk | None:
        """Return the oldest chunk that was not taken yet."""
        with self._fanotify.lock:
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._taken_bytes += len(chunk.data)
            return chunk

    def drain(self) -> None:
        """Read here and now all that the kernel has."""
        self._fanotify.drain()

    def position(self) -> int:
        """Return the position of the next record to happen: what has happened lies before it."""
        self.drain()
        return self.read_bytes

    def empty(self) -> bool:
        """Tell whether neither the kernel nor this object holds an untaken record."""
        if self._fanotify.queued():
            self.drain()
        return not self._chunks

    def _take(self, reads: Iterator[bytes]) -> bool:
        began_ns, before = time.time_ns(), self.read_bytes
        actors: dict[int, Actor] = {}
        for data in reads:
            records = bytearray()
            for event in parse(data):
                self._note(event, records, actors)
            if records:
                self._chunks.append(Chunk(bytes(records), time.time_ns(), self.read_bytes, self._empty_ns))
                self.read_bytes += len(records)
        if self._fanotify.empty:
            self._empty_ns = began_ns
        self._bound()
        if self.read_bytes > before:
            self._wake.set()
        return self.read_bytes > before

    def _note(self, event: Told, records: bytearray, actors: dict[int, Actor]) -> None:
        if event.mask & OPEN_EXEC and self._actors:
            self._processes.executes(event.pid, event.directory, event.name)
        for wd, mask, cookie, name in self._translated(event):
            if self._actors and event.pid not in actors and event.pid not in (0, self._own_pid):
                actors[event.pid] = self._processes.actor(event.pid)
            if event.pid in actors:
                self.who.note(self.read_bytes + len(records), actors[event.pid])
            padded = name + bytes(16 - len(name) % 16) if name else b""
            records += _RECORD.pack(wd, mask, cookie, len(padded)) + padded

    def _translated(self, event: Told) -> Iterator[tuple[int, int, int, bytes]]:
        mask, pid, directory, name, to_directory, to_name = event
        if mask & Q_OVERFLOW:
            yield _NO_WD, Q_OVERFLOW, 0, b""
            return
        if (directory, name) == self._above:
            yield from self._end_of_root(mask)
        if pid == self._own_pid:  # which changes nothing here
            mask &= ~ACCESSES
        wd = self._by_directory.get(directory)
        if mask & RENAME:
            to_wd, is_dir = self._by_directory.get(to_directory), mask & ISDIR
            cookie = next(self._cookies)
            if wd is not None:
                yield wd, MOVED_FROM | is_dir, cookie, name
            if to_wd is not None:
                yield to_wd, MOVED_TO | is_dir, cookie, to_name
        elif wd is not None and mask & self._wanted & ~ISDIR:
            yield wd, mask & self._wanted, 0, name

    def _end_of_root(self, mask: int) -> Iterator[tuple[int, int, int, bytes]]:
        if mask & RENAME:
            yield _ROOT_WD, MOVE_SELF | ISDIR, 0, b""
        elif mask & DELETE:
            yield _ROOT_WD, DELETE_SELF | ISDIR, 0, b""

    def _bound(self) -> None:
        """Drop what is beyond the limit as the kernel would, and say so as it does."""
        if self.read_bytes - self._taken_bytes > _UNREAD_BYTES:
            lost = _RECORD.pack(_NO_WD, Q_OVERFLOW, 0, 0)
            self._taken_bytes = self.read_bytes
            self._chunks.clear()
            self._chunks.append(Chunk(lost, time.time_ns(), self.read_bytes, self._empty_ns))
            self.read_bytes += len(lost)
