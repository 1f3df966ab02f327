"""Files that a scan comes upon before the record that tells from where they were moved.

A file moved into a directory in the instant before that had a watch is known to have left, and not where to.
Where a scan finds such a file, by device, inode and birth time, it leaves the place to this: when the turn of
the record comes, it is told as the rename that it was, in its place in the order.
"""

from __future__ import annotations

from agent.baseline import Known
from agent.files import State
from agent.pairing import Pairing
from agent.report import Place
from agent.view import View

_MOST_HALVES = 16
"""Renames out of view that a new file is compared with; a storm of them is told as out and create."""


class Arrivals:
    """Places that wait for the first half of their rename; `note` is the scanner's `defer`."""

    def __init__(self, view: View, pairing: Pairing) -> None:
        self._view = view
        self._pairing = pairing
        self._places: dict[tuple[int, int, int], Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def note(self, place: Place, known: Known | None, state: State | None) -> bool:
        """Take over a new file that is about to be told as moved away from another place."""
        if known is not None or state is None or not 0 < self._pairing.halves <= _MOST_HALVES:
            return False
        if state.birth_ns <= 0 or not (state.is_dir or state.links == 1) or not self._has_left(state):
            return False
        self._places[state.identity] = place
        return True

    def take(self, source: Place) -> Place | None:
        """Return where a file is that was moved away from a place, if a scan has found it."""
        known = self._view.known(source) if self._places else None
        place = self._places.pop(known.state.identity, None) if known and known.state else None
        return place if place and not place[0].gone and self._view.known(place) is None else None

    def rest(self) -> list[Place]:
        """Return, and forget, the places that no record has spoken of: what is there is to be reported."""
        places = [place for place in self._places.values() if not place[0].gone]
        self._places.clear()
        return places

    def _has_left(self, state: State) -> bool:
        for record in self._pairing.sources():
            directory = self._view.watches.of(record.wd)
            known = self._view.known((directory, record.name)) if directory else None
            if known is not None and known.state is not None and known.state.identity == state.identity:
                return True
        return False
