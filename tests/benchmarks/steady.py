"""Saves files at a steady rate, and waits until every end that is measured has seen them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

Seen = dict[str, float]
"""By a file's name: when, by `time.perf_counter`."""
FILES = 1_000


def change(tree: Path, per_s: int, seconds: int) -> Seen:
    """Save a file of its own name every 1/per_s seconds; return when each was closed."""
    changed: Seen = {}
    began = time.perf_counter()
    for number in range(per_s * seconds):
        time.sleep(max(0.0, began + number / per_s - time.perf_counter()))
        name = f"{number % FILES}-{number}"
        (tree / name).write_bytes(name.encode() * 100)
        changed[name] = time.perf_counter()
    return changed


def warm(tree: Path, seen: Callable[[], bool]) -> None:
    """Save a file again and again until every end shows it: each begins at some moment of its own."""

    def shown() -> bool:
        (tree / "warm").write_text(str(time.time()))
        time.sleep(0.1)
        return seen()

    await_all(shown)


def await_all(done: Callable[[], bool], timeout_s: float = 60) -> None:
    """Return when everything is done. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not everything arrived within {timeout_s} s")
        time.sleep(0.02)
