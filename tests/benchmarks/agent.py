"""The agent beside its peers in every storm: CPU time, memory, and the tree and history that each tells."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.kafka import KafkaSettings
from tests.benchmarks import raw_reader, told, watchers
from tests.benchmarks.parts import kafka
from tests.benchmarks.table import percentile, show
from tests.benchmarks.watchers import Candidate
from tests.storms import storms
from tests.storms.ground import Ground
from tests.storms.storms import Storm
from tests.storms.watcher import Watcher, rage

SIZES = storms.SMALL if os.environ.get("FSWIRE_BENCH_STORMS") == "small" else storms.FULL
MEMORY = "/dev/shm"
"""A tmpfs: a disk would be what is measured."""
CHANGES_PER_S = 1_000
SECONDS = 20


def run(directory: Path) -> None:
    """Let every watcher see every storm, one after the other; then time the way to the broker."""
    with kafka(directory) as settings:
        rows = list(_rows(directory, settings))
        waited_ms = _waited_ms(directory, settings)
    show(
        "agent: storms on a tmpfs; hashing off, the journal on; who did it, which no peer tells, where said",
        ("storm", "watcher", "operations", "CPU s per 1,000", "peak MB", "tree", "history missing"),
        rows,
    )
    show(
        f"agent: from a change to the broker's log at {CHANGES_PER_S:,} changes/s, milliseconds",
        ("change", "changes", "p50", "p99"),
        [("closeWrite", len(waited_ms), percentile(waited_ms, 0.5), percentile(waited_ms, 0.99))],
    )


def _rows(directory: Path, settings: KafkaSettings) -> Iterator[tuple[object, ...]]:
    for storm, size in SIZES.items():
        for candidate in watchers.all_of(settings):
            with tempfile.TemporaryDirectory(dir=directory) as own:
                yield _row(storm, size, candidate, Path(own))


def _row(storm: Storm, size: int, candidate: Candidate, directory: Path) -> tuple[object, ...]:
    with tempfile.TemporaryDirectory(prefix="fswire-storm-", dir=MEMORY) as top:
        ground = _ground(Path(top))
        with candidate.start(ground, directory) as watcher:
            idle_s = watcher.cpu_s()
            rage(storm, size, ground, watcher)
            cpu_s, peak_bytes = watcher.cpu_s() - idle_s, watcher.peak_bytes()
            watcher.stop()
            account = candidate.account(ground, watcher.output.read_bytes())
        return (
            storm.__name__,
            candidate.name,
            len(ground.operations),
            f"{1000 * cpu_s / len(ground.operations):.4f}",
            f"{peak_bytes / 1e6:.0f}",
            "right" if account.right else "wrong",
            f"{told.missing_share(ground.operations, account.said):.2%}",
        )


def _waited_ms(directory: Path, settings: KafkaSettings) -> list[float]:
    """Return for each change how long after it the broker appended it."""
    with tempfile.TemporaryDirectory(prefix="fswire-storm-", dir=MEMORY) as top:
        ground = _ground(Path(top))
        own = directory / "latency"
        own.mkdir()
        with watchers.to_broker(settings, ground, own) as watcher:
            watcher.quiet(ground)
            closed_ns = _change(ground, watcher)
            records = raw_reader.read(watcher.output.read_bytes())
        return [
            appended_ms - closed_ns[event.path] / 1e6
            for appended_ms, batch in records
            for event in batch.events
            if event.kind == "closeWrite" and event.path in closed_ns
        ]


def _change(ground: Ground, watcher: Watcher) -> dict[str, int]:
    """Save files at a steady rate; return when each was closed."""
    closed_ns: dict[str, int] = {}
    began = time.perf_counter()
    for number in range(CHANGES_PER_S * SECONDS):
        time.sleep(max(0.0, began + number / CHANGES_PER_S - time.perf_counter()))
        (ground.root / f"f{number}").write_bytes(b"%d\n" % number)
        closed_ns[f"f{number}"] = time.time_ns()
    watcher.quiet(ground)
    return closed_ns


def _ground(top: Path) -> Ground:
    ground = Ground(top / "root", top / "outside")
    ground.root.mkdir()
    ground.outside.mkdir()
    return ground
