"""How fast an agent takes in a tree that is there when it starts, and how much memory that takes.

A tree of `FSWIRE_BENCH_FILES` (1,000,000) small files, 100 in a directory, is made once and scanned twice,
without hashing and without a broker: at the first start, and at one that finds everything as it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.table import show
from tests.unit.agent import watched

FILES = int(os.environ.get("FSWIRE_BENCH_FILES", "1000000"))
_PER_DIRECTORY = 100
_PATIENCE_S = 600.0


class Scan(NamedTuple):
    """What one start took: time until everything was watched, and the process's largest resident size."""

    seconds: float
    cpu_seconds: float
    resident_bytes: int
    journal_bytes: int


def make(root: Path, files: int) -> None:
    """Make a tree of empty files."""
    for number in range(-(-files // _PER_DIRECTORY)):
        directory = root / str(number // 100) / str(number)
        directory.mkdir(parents=True)
        for index in range(min(_PER_DIRECTORY, files - number * _PER_DIRECTORY)):
            os.close(os.open(directory / f"file-{index:03}.txt", os.O_CREAT | os.O_WRONLY))


def scan(root: Path, state: Path) -> Scan:
    """Start an agent's watching thread in a process of its own, and measure it."""
    command = [sys.executable, "-m", "tests.benchmarks.agent_scan", str(root), str(state)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    journal_bytes = sum(file.stat().st_size for file in (state / "proj").glob("journal.db*"))
    return Scan(*json.loads(done.stdout.splitlines()[-1]), journal_bytes)


def run(directory: Path) -> None:
    """Measure a first and a later start."""
    root = directory / "root"
    make(root, FILES)
    rows = []
    for name in ("first start", "later start"):
        found = scan(root, directory / "state")
        rows.append(
            (
                name,
                round(FILES / found.seconds),
                round(found.seconds, 1),
                round(found.cpu_seconds, 1),
                found.resident_bytes / 1e6,
                found.journal_bytes / 1e6,
            )
        )
    show(f"agent: scan of {FILES:,} files", ("", "files/s", "s", "CPU s", "MB resident", "MB journal"), rows)


def _resident_bytes() -> int:
    """Return the largest resident size: of this program alone, which `ru_maxrss` is not after a fork."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell VmHWM")


def _child(root: Path, state: Path) -> None:
    watched.PATIENCE_S = _PATIENCE_S
    begun, used = time.monotonic(), time.process_time()
    with watched.Watched(root, state, max_hash_bytes=0, journal_max_bytes=8 * 1024**3):
        seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - used
    print(json.dumps([seconds, cpu_seconds, _resident_bytes()]))


if __name__ == "__main__":
    _child(Path(sys.argv[1]), Path(sys.argv[2]))
