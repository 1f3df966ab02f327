"""Paths that were reported but could not be looked at: by the time of the look they had another name.

What happened to them next stands in records still to come. What is left when the kernel's queue is empty is
looked at again, so that the last state of every path is right in the end.
"""

from __future__ import annotations

from agent.report import Place

_PATIENCE_S = 1.0
"""How long a path may stay out of sight, with no record that says so, before it counts as deleted."""


class Unseen:
    """Places to look at again."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def add(self, place: Place, now: float) -> None:
        """Remember a place; the first time counts."""
        self._since.setdefault(place, now)

    def discard(self, place: Place) -> None:
        """Forget a place: it was seen, or it is gone."""
        self._since.pop(place, None)

    def rename(self, place: Place, to: Place) -> None:
        """Go on under another name."""
        since = self._since.pop(place, None)
        if since is not None:
            self._since[to] = since

    def places(self, now: float) -> list[tuple[Place, bool]]:
        """Return every place that is still in the tree, and whether it has been out of sight for too long."""
        for place in [place for place in self._since if place[0].gone]:
            del self._since[place]
        return [(place, now - since > _PATIENCE_S) for place, since in self._since.items()]
