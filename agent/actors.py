"""Adds who did it, which fanotify tells, to what inotify saw.

fanotify merges and reorders the unread events of one process about one name, and never those of two
processes. So its events are matched by directory, name and kind with the records that inotify gave between
two moments: before the first, fanotify's queue had been read to its end; after the second, its next reading
began. Where two processes did the same to one name between those, nobody is named. When fanotify's queue
overflows, nobody is named for what had happened until then; no event is missing for that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from agent.event import Actor
from agent.fan_records import OPEN_EXEC, RENAME, SELF, parse
from agent.fanotify import Fanotify
from agent.process import Processes
from agent.records import (
    ACCESSES,
    APPEARS,
    ATTRIB,
    ISDIR,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
    Record,
)
from agent.who import Nobody, Who

_HELD = 200_000
"""Events read that nobody has asked about, about 50 MB: beyond it nobody is named."""
_FOR_EVER = 1 << 62
_NOT_HERE = -1
_FOR_SCANS_S = 0.5
"""How long it is kept what was done in directories that had no watch yet: a scan may come upon it."""
_ABOUT_A_DIRECTORY = ATTRIB | ACCESSES

_Key = tuple[bytes, bytes]
_Told = tuple[int, int, "_Told | None"]
"""A mask, a process, and what else was told of that name."""


class _Age:
    """What fanotify told between two moments, which are positions in inotify's records."""

    __slots__ = ("actors", "began_s", "since", "told", "until")

    def __init__(self, since: int, began_s: float) -> None:
        self.since = since
        self.began_s = began_s
        self.until = _FOR_EVER
        self.told: dict[_Key, _Told] = {}
        self.actors: dict[int, Actor] = {}
        """By process: those that did something in the tree, asked as soon as it was read."""


class Actors:
    """Who did what inotify's records tell. Use as a context manager.

    `on_request`: kinds beside the changes; `position`: of the next record of inotify; `child`: the watch of
    the directory by a name in a watched one. Raises OSError where fanotify cannot be used.
    """

    def __init__(
        self,
        root: bytes,
        on_request: int,
        position: Callable[[], int],
        child: Callable[[int, bytes], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._position = position
        self._clock = clock
        self._child = child
        self._own_pid = os.getpid()
        self._passed_over = _NOT_HERE if on_request else self._own_pid
        self._directories: dict[int, bytes] = {}
        self._watched: set[bytes] = set()
        self._read: deque[_Age] = deque()
        """Filled under the lock, by whichever thread reads."""
        self._ages: deque[_Age] = deque()
        self._held = self._blind = 0
        self._tried = self._covered = self._taken = 0
        """Positions: up to which fanotify was asked, had told all, and what it told was taken over."""
        self._fanotify = Fanotify(root, on_request, self._take)
        self._fanotify.watch_programs()
        self._processes = Processes(self._fanotify.locate)

    def __enter__(self) -> Actors:
        self._fanotify.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._fanotify.__exit__()

    def watch(self, path: bytes, place_watch: Callable[[bytes], int]) -> int:
        """Place a watch of inotify on a directory, and know what fanotify calls it."""
        try:
            handle = self._fanotify.handle(path)
        except OSError:  # a file system of its own, whose events fanotify cannot tell
            return place_watch(path)
        wd = place_watch(path)
        self._directories[wd] = handle
        self._watched.add(handle)
        return wd

    def forget(self, wd: int) -> None:
        """Take note that a watch is gone."""
        self._watched.discard(self._directories.pop(wd, b""))

    def of(self, record: Record) -> Actor | None:
        """Return who did what a record tells, None if that is not certain; asked in the records' order."""
        found = self._find(record)
        return None if found is None or found.pid == self._own_pid else self._complete(found)

    def of_new(self, wd: int | None, name: bytes) -> Actor | None:
        """Return who made what a scan has just found under a name that was not known."""
        directory = None if wd is None else self._directories.get(wd)
        if directory is None:
            return None
        self._catch_up(anew=True)
        if not self._fanotify.empty or self._blind > self._covered:
            return None
        found = _agreed(self._ages, (directory, name), APPEARS)
        return None if found is None else self._complete(found)

    def is_own(self, record: Record) -> bool | None:
        """Tell whether an open, a read or a close was the agent's; None if that is not certain."""
        found = self._find(record)
        return None if found is None else found.pid == self._own_pid

    def _find(self, record: Record) -> Actor | None:
        key, position = self._key(record), record.position
        if key is None or not self._is_covered(position):
            return None
        while self._ages and self._ages[0].until <= position:
            self._ages.popleft()
        ages = itertools.takewhile(lambda age: age.since <= position, self._ages)
        return _agreed(ages, key, record.mask & ~ISDIR)

    def _key(self, record: Record) -> _Key | None:
        wd: int | None = record.wd
        name = record.name or SELF
        if record.mask & ISDIR and record.mask & _ABOUT_A_DIRECTORY and record.name:
            wd, name = self._child(record.wd, name), SELF
        directory = None if wd is None else self._directories.get(wd)
        return None if directory is None else (directory, name)

    def _is_covered(self, position: int) -> bool:
        """Tell whether all that fanotify has about the record at a position is here, and nothing was lost."""
        if position >= self._taken:
            self._catch_up(anew=position >= self._covered and position >= self._tried)
        return self._blind <= position < self._taken

    def _catch_up(self, *, anew: bool) -> None:
        """Take over what was read; `anew`: and what the kernel still has."""
        if anew:
            self._fanotify.drain()
        with self._fanotify.lock:
            self._ages.extend(self._read)
            self._read.clear()
            self._held, self._taken = 0, self._covered

    def _complete(self, actor: Actor) -> Actor | None:
        """Ask now about a process that was told of before its directory was known to be in the tree."""
        if actor.uid is not None or not actor.pid:  # 0: one outside of the agent's namespace
            return actor if actor.pid else None
        with self._fanotify.lock:
            return self._processes.actor(actor.pid)

    def _take(self, reads: Iterator[bytes]) -> bool:
        self._tried = now = self._position()
        age = self._begin(now)
        for data in reads:
            self._note(age, data)
        if self._fanotify.empty:
            self._covered = now
        if self._held > _HELD:
            for each in self._read:
                each.told.clear()
            self._held, self._blind = 0, self._position()
        return bool(age.actors)

    def _begin(self, now: int) -> _Age:
        """Return the age that this reading belongs to: another one if the queue had been read to its end."""
        last = self._read[-1] if self._read else self._ages[-1] if self._ages else None
        if last is not None and not self._fanotify.empty:
            return last
        now_s = self._clock()
        if last is not None and not last.told:
            last.since, last.began_s = self._covered, now_s
            return last
        useless = last is not None and last.since >= now  # no record has come that it could tell about
        if last is not None and useless and now_s - last.began_s < _FOR_SCANS_S:
            return last
        if last is not None:
            last.until = now
        if useless and self._read:
            self._held -= len(self._read.pop().told)
        self._read.append(_Age(self._covered, now_s))
        return self._read[-1]

    def _note(self, age: _Age, data: bytes) -> None:
        told, actors, watched = age.told, age.actors, self._watched
        before = len(told)
        for mask, pid, directory, name, to_directory, to_name in parse(data):
            if mask & Q_OVERFLOW:
                self._blind = self._position()
            if mask & OPEN_EXEC:
                self._processes.executes(pid, directory, name)
            if pid == self._passed_over or mask == OPEN_EXEC:
                continue
            if pid not in actors and pid and (directory in watched or to_directory in watched):
                actors[pid] = self._processes.actor(pid)
            key = directory, name
            if mask & RENAME:
                to = to_directory, to_name
                told[key] = MOVED_FROM, pid, told.get(key)
                told[to] = MOVED_TO, pid, told.get(to)
            else:
                told[key] = mask, pid, told.get(key)
        self._held += len(told) - before


def new_actors(
    root: bytes,
    on_request: int,
    position: Callable[[], int],
    child: Callable[[int, bytes], int | None],
    *,
    wanted: bool,
) -> Who:
    """Return what names actors, or what names nobody: unwanted, or this process may not (see `refusal`)."""
    if wanted:
        with contextlib.suppress(OSError):
            return Actors(root, on_request, position, child)
    return Nobody()


def _agreed(ages: Iterable[_Age], key: _Key, kinds: int) -> Actor | None:
    """Return the one process that did something of these kinds to a name; None: nobody, or several."""
    found: Actor | None = None
    for age in ages:
        told = age.told.get(key)
        while told is not None:
            mask, pid, told = told
            if not mask & kinds:
                continue
            if found is not None and found.pid != pid:
                return None
            if found is None or found.uid is None:
                found = age.actors.get(pid) or Actor(pid)
    return found
