"""Files that are renamed before anybody can look at them, as in every save by way of another file.

The rename is still to be told when the file is: only under its later name can be seen which file it is.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.pairing import Pairing
from agent.records import MOVED_FROM
from agent.report import Place
from agent.view import View


class Departures:
    """Knows the renames that are still to be told; `contested` reads on: see `agent.scan.Scanner`."""

    def __init__(self, view: View, pairing: Pairing, contested: Callable[[Place], int]) -> None:
        self._view = view
        self._pairing = pairing
        self._contested = contested

    def destination(self, place: Place) -> Place | None:
        """Return where what was made at a place is by now; None: there, or nobody knows."""
        directory, name = place
        if directory.wd is None:
            return None
        coming = self._pairing.coming(directory.wd, name) or self._contested(place)
        target = self._pairing.destination(directory.wd, name) if coming & MOVED_FROM else None
        above = self._view.watches.of(target.wd) if target is not None else None
        return (above, target.name) if target is not None and above is not None else None
