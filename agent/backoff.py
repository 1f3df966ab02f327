"""How long to wait before everything is scanned again; pure.

A scan costs the most just when too much is going on, so each loss that comes soon after another doubles the
wait; a time of quiet starts it again.
"""

from __future__ import annotations

FIRST_S = 0.1
LONGEST_S = 30.0
QUIET_S = 10.0


class Backoff:
    """The wait after each loss."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def lost(self, quiet_s: float) -> float:
        """Return how long to wait after a loss, before which all was well for `quiet_s` seconds."""
        wait_s = FIRST_S if quiet_s >= QUIET_S else self._next_s
        self._next_s = min(LONGEST_S, 2 * wait_s)
        return wait_s
