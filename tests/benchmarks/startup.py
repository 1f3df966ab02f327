"""Seconds until `fswire up` is ready, with the downloads there: a new data directory, then the same."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.table import show
from tests.integration import running


def run(directory: Path) -> None:
    """Start and stop the whole system twice, and print the table."""
    tree = directory / "tree"
    tree.mkdir()
    show(
        "`fswire up DIR`",
        ("start", "ready after s", "stopped after s"),
        [(name, *_start(directory / "data", tree)) for name in ("first", "second")],
    )


def _start(data_dir: Path, tree: Path) -> tuple[float, float]:
    began = time.perf_counter()
    with running.up(data_dir, str(tree), "--port", "0") as up:
        up.ready()
        ready = time.perf_counter()
        up.stop()
        return ready - began, time.perf_counter() - ready
