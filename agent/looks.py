"""Looks at paths, and the last looks again: what was seen after a record had happened need not be seen twice.

A file that is made, written and closed in a burst has three records by the time of the first look. Any change
after that look is told by a record that is still to be read, and then the path is looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.files import State
from agent.records import ISDIR, STRUCTURE, Record
from agent.report import Place
from agent.view import View

_MOST = 1000


class Looks:
    """`happened`: the position in the kernel's queue before which all records have happened by now."""

    def __init__(self, view: View, happened: Callable[[], int]) -> None:
        self._view = view
        self._happened = happened
        self._position: int | None = None
        self._seen: dict[Place, tuple[State | None, int]] = {}

    def follow(self, record: Record) -> None:
        """Note which record is handled now; where directories come and go, paths become others."""
        self._position = record.position
        if len(self._seen) > _MOST or (record.mask & ISDIR and record.mask & STRUCTURE):
            self._seen.clear()

    def forget(self) -> None:
        """Look anew from now on, until the next record."""
        self._position = None
        self._seen.clear()

    def look(self, place: Place) -> State | None:
        """Return the state of what is at a place; one that cannot be looked at is as good as out of sight."""
        if self._position is None:
            return self._now(place)
        seen = self._seen.get(place)
        if seen is not None and seen[1] > self._position:
            return seen[0]
        happened = self._happened()
        state = self._now(place)
        self._seen[place] = state, happened
        return state

    def _now(self, place: Place) -> State | None:
        try:
            return self._view.look(place)
        except OSError:
            return None
