"""Looks now and then whether the root's path is still what is watched: what lies above it may be renamed.

That it is not is believed at the second look: the records that tell of the root's own end come first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.scan import RootGone
from agent.session import check_root
from agent.view import View

_EVERY_S = 2.0
_AGAIN_S = 0.2


class RootCheck:
    """Asked while no record waits."""

    def __init__(self, view: View, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._clock = clock
        self._due = 0.0
        self._missing = False

    def turn(self) -> bool:
        """Look, if it is time to; return whether it was. Raises RootGone."""
        if self.wait_s():
            return False
        try:
            check_root(self._view)
        except RootGone:
            if self._missing:
                raise
            self._missing = True
        else:
            self._missing = False
        self._due = self._clock() + (_AGAIN_S if self._missing else _EVERY_S)
        return True

    def wait_s(self) -> float:
        """Return how long it is until the next look."""
        return max(0.0, self._due - self._clock())
