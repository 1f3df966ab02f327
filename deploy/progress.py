"""What the displays know: each part's state, each stage's rate, the download. No output of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.part import logged

_IDLE_S = 3.0
"""A stage that has said nothing for so long passes nothing: `agent.log.Throughput` speaks every second."""


@dataclass
class _PartState:
    state: str
    since_s: float
    took_s: float = 0.0
    starts: int = 0


@dataclass
class _Counter:
    """Events of one stage in one part; a restarted part counts from nothing again."""

    before: int = 0
    last: int = 0
    rate: float = 0.0
    at_s: float = 0.0

    @property
    def total(self) -> int:
        return self.before + self.last


@dataclass
class Progress:
    """Everything that was told, ready to be drawn."""

    clock: Callable[[], float] = time.monotonic
    download_bytes: int = 0
    total_bytes: int = 0
    _parts: dict[str, _PartState] = field(default_factory=dict)
    _counters: dict[tuple[str, str], _Counter] = field(default_factory=dict)
    _download_from_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def part(self, name: str, state: str) -> float:
        """Note a part's state; return how many seconds it was in the one before."""
        now = self.clock()
        part = self._parts.setdefault(name, _PartState(state, now))
        part.took_s = now - part.since_s
        part.state, part.since_s = state, now
        part.starts += state == "starting"
        return part.took_s

    def parts(self) -> list[tuple[str, str, str]]:
        """Return name, state and a remark of each part, in the order of their first start."""
        return [(name, part.state, _remark(part)) for name, part in self._parts.items()]

    def heard(self, name: str, line: str) -> bool:
        """Note a line of a part; tell whether it was one of throughput."""
        if '"throughput"' not in line:
            return False
        entry = logged(line)
        stage, events = entry.get("stage"), entry.get("events")
        if not isinstance(stage, str) or not isinstance(events, int):
            return False
        self._count(self._counters.setdefault((stage, name), _Counter()), events)
        return True

    def stages(self) -> list[tuple[str, float, int]]:
        """Return name, events per second and events so far of each stage, all its parts together."""
        now = self.clock()
        found: dict[str, tuple[float, int]] = {}
        for (stage, _), counter in self._counters.items():
            rate, total = found.get(stage, (0.0, 0))
            idle = now - counter.at_s > _IDLE_S
            found[stage] = (rate + (0.0 if idle else counter.rate), total + counter.total)
        return [(stage, rate, total) for stage, (rate, total) in found.items()]

    def downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        """Add bytes that arrived; from any thread."""
        with self._lock:
            if not self.download_bytes:
                self._download_from_s = self.clock()
            self.download_bytes += arrived_bytes
            self.total_bytes = total_bytes

    def download(self) -> str:
        """Return the download in words; empty when there is none under way."""
        if not self.total_bytes:
            return ""
        seconds = max(self.clock() - self._download_from_s, 0.001)
        done, total, rate = (
            n / 1e6 for n in (self.download_bytes, self.total_bytes, self.download_bytes / seconds)
        )
        return f"{done:.1f} of {total:.1f} MB, {rate:.1f} MB/s"

    def _count(self, counter: _Counter, events: int) -> None:
        now = self.clock()
        if events < counter.last:
            counter.before, counter.last = counter.total, 0
        passed_s = now - counter.at_s
        # After a pause the line tells of an unknown part of it: at least the second between two lines.
        counter.rate = (events - counter.last) / min(max(passed_s, 0.1), _IDLE_S) if events else 0.0
        counter.last, counter.at_s = events, now


def _remark(part: _PartState) -> str:
    words = [f"ready after {part.took_s:.1f} s"] if part.state == "running" else []
    if part.starts > 1:
        words.append(f"restarts: {part.starts - 1}")
    return ", ".join(words)
