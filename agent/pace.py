"""When the tree, or part of it, is to be listed again; pure.

The interval counts from the end of a round, and a round that takes long is followed by a pause that is longer
still: listing never takes more than a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable

_PAUSE_PER_ROUND = 3.0


class Pace:
    """Rounds at least `every_s` seconds apart, by a monotonic clock; the first is due after one interval."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._every_s = every_s
        self._clock = clock
        self._began = 0.0
        self._due = clock() + every_s

    def begin(self) -> None:
        """Note that a round begins."""
        self._began = self._clock()

    def end(self) -> None:
        """Note that it is over."""
        now = self._clock()
        self._due = now + max(self._every_s, _PAUSE_PER_ROUND * (now - self._began))

    def wait_s(self) -> float:
        """Return how long it is until the next round, 0 when it is due."""
        return max(0.0, self._due - self._clock())
