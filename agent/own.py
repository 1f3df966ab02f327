"""Tells the agent's own opens and reads from those of others, which look the same to inotify.

Whatever the agent opens, it notes the positions in the kernel's queue before and after: of the records in
between about that path, one open, one close and the reads are its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.records import ACCESS, OPEN, Record
from agent.report import Place


@dataclass
class _Window:
    start: int
    end: int
    opens: int = 1
    closes: int = 1


class OwnAccess:
    """What the agent has opened lately; `position` None: nobody asked for opens and reads."""

    def __init__(self, position: Callable[[], int] | None) -> None:
        self._position = position
        self._windows: dict[Place, list[_Window]] = {}
        self.noting = True
        """False while the whole tree is scanned: what is read meanwhile is not reported at all."""

    @contextlib.contextmanager
    def access(self, place: Place) -> Iterator[None]:
        """Surround the agent's opening, reading and closing of one path."""
        if self._position is None or not self.noting:
            yield
            return
        start = self._position()
        try:
            yield
        finally:
            self._windows.setdefault(place, []).append(_Window(start, self._position()))

    def was(self, place: Place, record: Record) -> bool:
        """Tell whether a record is about the agent's own doing; asked once for each record, in order."""
        windows = self._windows.get(place)
        while windows and windows[0].end <= record.position:
            windows.pop(0)
        if not windows:
            self._windows.pop(place, None)
            return False
        window = windows[0]
        if record.position < window.start:
            return False
        if record.mask & ACCESS:
            return True
        if record.mask & OPEN:
            window.opens -= 1
            return window.opens >= 0
        window.closes -= 1
        return window.closes >= 0

    def clear(self) -> None:
        """Forget all windows: no record is waiting."""
        self._windows.clear()
