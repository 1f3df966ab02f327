"""Which content is hashed at once, which later, and what is still owed; used on the watching thread.

A small file is hashed where it is met. Any other waits (`agent.waits`) for the thread that hashes; where a
scan meets more of them than may wait, the directory is remembered, and gone through again later: memory does
not grow with the number of files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from agent.event import Kind, Source
from agent.files import State
from agent.hashing import Digest, Hasher
from agent.own import OwnAccess
from agent.report import Place, When
from agent.waits import Wait, Waits
from agent.watches import Directory

_AT_ONCE_BYTES = 128 * 1024
"""A third of a millisecond, and a thread's hand-over costs a tenth."""
_WHOLE_SCAN_S = 1.0
_PART_SCAN_S = 0.1
"""For so long a scan hashes small files as it meets them: no record is handled meanwhile."""


class _Owed(NamedTuple):
    files: int
    source: Source


class Hashes:
    """The hashing of one root; everything is hashed at once unless `later` says that a thread is there."""

    def __init__(self, hasher: Hasher, own: OwnAccess, clock: Callable[[], float] = time.monotonic) -> None:
        self.hasher = hasher
        self._own = own
        self._clock = clock
        self._scan_left_s = _WHOLE_SCAN_S
        self.later = False
        self.waits = Waits()
        self.lost: Callable[[Wait], None] = lambda _: None
        """Called with each wait whose path is about to be gone."""
        self.hashed_bytes = 0
        self.owed = 0
        """Files that are to be looked at again in the directories that were remembered."""
        self._directories: dict[Directory, _Owed] = {}
        self._visited: tuple[Directory, Source] | None = None

    @property
    def owing(self) -> bool:
        """Tell whether something that a scan has met is still to be hashed."""
        return bool(self.waits.found or self._directories) or self._visited is not None

    def begin_scan(self, *, whole: bool) -> None:
        """Let a scan hash small files at once for a while."""
        self._scan_left_s = _WHOLE_SCAN_S if whole else _PART_SCAN_S

    def wants(self, state: State) -> bool:
        """Tell whether a file is one whose content is hashed."""
        return self.hasher.refusal(state) is None

    def digest(self, place: Place, path: bytes, state: State, *, scan: bool) -> Digest | None:
        """Hash a file that was just seen in `state`; None: not now."""
        refused = self.hasher.refusal(state)
        if refused is not None:
            return refused
        if not self.later:
            return self._at_once(place, path, state)
        if state.size > _AT_ONCE_BYTES or not self.hasher.rate.spare(state.size):
            return None
        if not scan:
            return self._at_once(place, path, state)
        return self._within_scan(place, path, state) if self._scan_left_s > 0 else None

    def tell_later(self, place: Place, state: State, when: When, kind: Kind, *, written: bool) -> bool:
        """Wait with an event for its hash; False: too many do."""
        earlier = self.waits.get(place)
        if earlier is not None:
            self.waits.turn_into(earlier, state, when, kind, self._clock(), written=written)
        elif self.waits.full(kind):
            self._owe(place[0], when.source)
            return False
        else:
            self.waits.add(Wait(place, state, when, kind, written), self._clock())
        return True

    def decide_later(self, place: Place, state: State, when: When) -> None:
        """Have a file hashed and compared with what is known of it then, unless an event will tell it."""
        earlier = self.waits.get(place)
        if self.is_to_be_told(place, state) or (earlier and earlier.state.same_content(state)):
            return
        self.waits.end(place)
        if self.waits.full(None):
            self._owe(place[0], when.source)
        else:
            self.waits.add(Wait(place, state, when), self._clock())

    def is_to_be_told(self, place: Place, state: State) -> bool:
        """Tell whether an event waits for the hash of a file as it is now, whatever its name was then."""
        wait = self.waits.get(place)
        if wait is None or wait.kind is None:
            return False
        return (wait.state.size, wait.state.mtime_ns) == (state.size, state.mtime_ns)

    def undecided(self, place: Place) -> bool:
        """Tell whether a file may have content that was not told, so that its times tell nothing yet."""
        if self._visited is not None and place[0] is self._visited[0]:
            self._owe(*self._visited)  # the visit may be past this name
        return place in self.waits or place[0] in self._directories

    def rename(self, source: Place, target: Place) -> None:
        """Follow a file to its new name."""
        self.waits.rename(source, target)
        self._own.rename(source, target)

    def leave(self, place: Place, child: Directory | None) -> None:
        """Tell what still waits at a place and below it, before it goes."""
        if not self.waits:
            return
        gone = [wait] if (wait := self.waits.end(place)) else []
        for wait in [*gone, *(self.waits.end_below(child) if child else ())]:
            self.lost(wait)

    def next_directory(self) -> tuple[Directory, Source] | None:
        """Return a directory to go through again, and where it was met; None: there is none.

        The one before is done.
        """
        self._visited = None
        while self._directories:
            directory = next(iter(self._directories))
            owed = self._directories.pop(directory)
            self.owed -= owed.files
            if not directory.gone:
                self._visited = directory, owed.source
                break
        return self._visited

    def _owe(self, directory: Directory, source: Source) -> None:
        earlier = self._directories.get(directory)
        self._directories[directory] = _Owed(earlier.files + 1 if earlier else 1, source)
        self.owed += 1

    def _at_once(self, place: Place, path: bytes, state: State) -> Digest:
        self.hashed_bytes += state.size
        with self._own.access(place) as window:
            return self.hasher.digest(path, state, window)

    def _within_scan(self, place: Place, path: bytes, state: State) -> Digest:
        started = self._clock()
        digest = self._at_once(place, path, state)
        self._scan_left_s -= self._clock() - started
        return digest
