"""Ports for what tests start: one that was given out is never given out again, though nobody listens yet."""

from __future__ import annotations

from deploy import ports

_given: set[int] = set()


def pick() -> int:
    """Return a free port that no other test of this session has."""
    return ports.pick(_given)
