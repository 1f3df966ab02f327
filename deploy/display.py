"""What `fswire up` shows on standard error: downloads, parts, events per second.

On a terminal a table that is redrawn (`LiveDisplay`), elsewhere plain lines (`PlainDisplay`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.progress import Progress

_EVERY_S = 10.0


class Display(Protocol):
    """Where the supervisor and `fswire up` tell what happens."""

    def part(self, name: str, state: str) -> None:
        """Take note of a part's new state."""

    def heard(self, name: str, line: str) -> None:
        """Take note of a line that a part wrote."""

    def downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        """Take note of bytes that just arrived; called from any thread."""

    def say(self, text: str) -> None:
        """Show something to the person."""

    def ready(self, url: str) -> None:
        """Print the line on standard output that says that everything is up."""


class PlainDisplay:
    """One line per thing that happens."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._progress = Progress(clock)
        self._last_s = clock()

    def part(self, name: str, state: str) -> None:
        """Print the state, and how long the part took to get there."""
        seconds = self._progress.part(name, state)
        self.say(f"{name}: {state}" + (f" after {seconds:.1f} s" if state == "running" else ""))

    def heard(self, name: str, line: str) -> None:
        """Count throughput; every ten seconds print what moved."""
        if not self._progress.heard(name, line) or self._clock() - self._last_s < _EVERY_S:
            return
        moving = [f"{stage} {rate:,.0f}" for stage, rate, _ in self._progress.stages() if rate >= 1]
        if moving:
            self._last_s = self._clock()
            self.say(f"events/s: {', '.join(moving)}")

    def downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        """Print every tenth of the download."""
        before = self._progress.download_bytes * 10 // total_bytes
        self._progress.downloaded(arrived_bytes, total_bytes)
        if self._progress.download_bytes * 10 // total_bytes > before:
            self.say(f"download of Apache Kafka: {self._progress.download()}")

    def say(self, text: str) -> None:
        """Print the text."""
        print(text, file=self._out, flush=True)

    def ready(self, url: str) -> None:
        """Print the line."""
        print(f"ready {url}", flush=True)


class LiveDisplay:
    """A table, redrawn four times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress()
        self._live = self._drawing()

    def part(self, name: str, state: str) -> None:
        """Keep the state for the next drawing."""
        self._progress.part(name, state)

    def heard(self, name: str, line: str) -> None:
        """Count throughput."""
        self._progress.heard(name, line)

    def downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        """Count the bytes."""
        self._progress.downloaded(arrived_bytes, total_bytes)

    def say(self, text: str) -> None:
        """Print the text above the table."""
        self._console.print(Text(text))

    def ready(self, url: str) -> None:
        """Print the line; standard output may be the same terminal, so the table goes and comes again."""
        self._live.stop()
        print(f"ready {url}", flush=True)
        self._live = self._drawing()
        self._live.start()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the block ends."""
        self._live.start()
        try:
            yield
        finally:
            self._live.stop()

    def _drawing(self) -> Live:
        # Standard output is left alone: it carries the `ready` line, and is perhaps another file.
        return Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )

    def _draw(self) -> RenderableType:
        progress = self._progress
        parts = Table("part", "state", "", box=None, pad_edge=False)
        for name, state, detail in progress.parts():
            parts.add_row(name, Text(state, style=_STYLES.get(state, "")), detail)
        stages = Table("stage", "events/s", "events", box=None, pad_edge=False)
        for stage, rate, total in progress.stages():
            stages.add_row(stage, f"{rate:,.0f}", f"{total:,}")
        loading = progress.download_bytes < progress.total_bytes
        download = [f"downloading Apache Kafka: {progress.download()}"] if loading else []
        return Group(*download, parts, *([stages] if stages.row_count else []))


_STYLES = {"running": "green", "starting": "yellow", "died": "red", "stopping": "yellow"}


@contextmanager
def display() -> Iterator[Display]:
    """Yield the display that fits standard error, until the block ends."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield PlainDisplay(sys.stderr)
        return
    live = LiveDisplay(console)
    with live.shown():
        yield live
