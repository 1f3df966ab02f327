"""Tells the agent's own opens and reads from those of others, which look the same to inotify.

Around whatever the agent opens, and again around the close, it notes the positions in the kernel's queue: the
first open and the first close in those two short windows are its own, and so is every read of that path in
between. So, without a process id (fanotify has one), what others read of a file while it is being hashed is
not reported; their opens and closes are, unless they fall into the microseconds of the agent's own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from agent.records import ACCESS, OPEN, Record


@dataclass
class Window:
    """One opening, reading and closing by the agent; a position of None is not reached yet."""

    position: Callable[[], int]
    start: int
    opened_at: int | None = None
    closing_at: int | None = None
    end: int | None = None
    opens: int = 1
    closes: int = 1

    def opened(self) -> None:
        """Note that the path is open: opens that come now are of others."""
        self.opened_at = self.position()

    def closing(self) -> None:
        """Note that the path is about to be closed: closes that came before were of others."""
        self.closing_at = self.position()

    def covers(self, record: Record) -> bool:
        """Tell whether a record is about this access; an open and a close are so only once."""
        if not self.start <= record.position < _or_later(self.end):
            return False
        if record.mask & ACCESS:
            return True
        if record.mask & OPEN:
            own = self.opens > 0 and record.position < _or_later(self.opened_at)
            self.opens -= own
            return own
        since = self.start if self.opened_at is None else self.closing_at
        own = self.closes > 0 and since is not None and record.position >= since
        self.closes -= own
        return own


class OwnAccess:
    """What the agent has open, or has opened lately; `position` None: nobody asked for opens and reads.

    A path is named by any hashable. Windows are opened on any thread, records are asked about on the watching
    thread.
    """

    def __init__(self, position: Callable[[], int] | None) -> None:
        self._position = position
        self._lock = threading.Lock()
        self._windows: dict[Hashable, list[Window]] = {}
        self._rested = 0
        self.noting = True
        """False while the whole tree is scanned: what is read meanwhile is not reported at all."""

    def follow(self, position: Callable[[], int] | None) -> None:
        """Note what is opened from now on; None: nobody asks for opens and reads any more."""
        self._position = position

    @contextlib.contextmanager
    def access(self, place: Hashable) -> Iterator[Window | None]:
        """Surround the agent's opening, reading and closing of one path."""
        if self._position is None or not self.noting:
            yield None
            return
        window = Window(self._position, self._position())
        with self._lock:  # before the open: its record may be handled before this thread goes on
            self._windows.setdefault(place, []).append(window)
        try:
            yield window
        finally:
            window.end = self._position()

    def was(self, place: Hashable, record: Record) -> bool:
        """Tell whether a record is about the agent's own doing; asked once for each record, in order."""
        with self._lock:
            return any(window.covers(record) for window in self._windows.get(place, ()))

    def rename(self, place: Hashable, to: Hashable) -> None:
        """Go on under another name."""
        with self._lock:
            windows = self._windows.pop(place, None)
            if windows is not None:
                self._windows.setdefault(to, []).extend(windows)

    def clear(self) -> None:
        """Drop windows that no record can be in any more; called whenever no record is waiting."""
        if self._position is None or not self._windows:
            return
        with self._lock:
            for place, windows in list(self._windows.items()):
                windows[:] = [window for window in windows if _or_later(window.end) > self._rested]
                if not windows:
                    del self._windows[place]
        self._rested = self._position()  # what has happened by now is handled by the next call


_NEVER = 2**63


def _or_later(position: int | None) -> int:
    return _NEVER if position is None else position
