"""Ten exports of 1,000,000 events at once, some to slow clients: how long they take, and how much memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx2

from tests.benchmarks.made_up_events import BIG
from tests.benchmarks.table import show

ROWS = 1_000_000
EXPORTS = ("csv", "ndjson", "parquet", "csv", "ndjson", "parquet", "csv", "ndjson", "parquet", "ndjson")
SLOW_S = 0.02
"""What the slow ones, the last three, rest after each piece of 64 KiB: they take some 3 MB a second."""
SLOW_BYTES = 100_000_000
"""They are content with these: memory is what is measured, not patience."""


class Taken(NamedTuple):
    """What one export took."""

    extension: str
    slow: bool
    first_ms: float
    seconds: float
    megabytes: float


def measure(api: str, key: str, pid: int) -> None:
    """Run all exports at once and print the table."""
    before = _resident_mb(pid)
    watch = _Watch(pid)
    with ThreadPoolExecutor(len(EXPORTS)) as threads, watch:
        taken = list(
            threads.map(
                lambda each: _export(api, key, each[1], slow=each[0] >= len(EXPORTS) - 3), enumerate(EXPORTS)
            )
        )
    show(
        f"{len(EXPORTS)} exports of {ROWS:,} events at once; the api's process had {before:,.0f} MB before, "
        f"{watch.most_mb:,.0f} MB at most",
        ("export", "first byte ms", "seconds", "MB", "MB/s"),
        [
            (
                f"{each.extension}{', slow' if each.slow else ''}",
                each.first_ms,
                each.seconds,
                each.megabytes,
                each.megabytes / each.seconds,
            )
            for each in taken
        ],
    )


def _export(api: str, key: str, extension: str, *, slow: bool) -> Taken:
    path = f"/2026-02-01/systems/directory-monitor/{BIG}/export.{extension}"
    headers = {"Authorization": f"Bearer {key}"}
    began = time.perf_counter()
    first_ms, size = 0.0, 0
    with httpx2.stream("GET", api + path, params={"rows": ROWS}, headers=headers, timeout=300) as answer:
        if answer.status_code != 200:
            raise AssertionError(f"{answer.status_code} {answer.read()[:500]!r}")
        for chunk in answer.iter_bytes(65_536):
            first_ms = first_ms or (time.perf_counter() - began) * 1000
            size += len(chunk)
            if slow:
                time.sleep(SLOW_S)
                if size > SLOW_BYTES:
                    break
    return Taken(extension, slow, first_ms, time.perf_counter() - began, size / 1e6)


class _Watch:
    """Looks at a process's memory until its block ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most_mb = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.most_mb = max(self.most_mb, _resident_mb(self._pid))


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000
