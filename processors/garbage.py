"""Python's garbage collector, in processes that hold or make many objects and hardly any cycles."""

from __future__ import annotations

import gc

_THRESHOLD = 100_000
"""Looking every 700 objects took the normalizer a third of its time, the api half with 5,000 open streams."""


def collect_seldom() -> None:
    """Let this process look for garbage seldom; a stage calls it once, as it starts."""
    gc.set_threshold(_THRESHOLD, 20, 20)
