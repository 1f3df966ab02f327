"""Who did what the kernel's records tell: what a source of records can say of it, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.event import Actor
from agent.records import Record
from agent.report import Place


class Who(Protocol):
    """Answers about records, in their order; None: that is not certain. Used as a context manager."""

    def __enter__(self) -> object:
        """Begin to listen."""

    def __exit__(self, *_: object) -> None:
        """Listen no longer."""

    def watch(self, path: bytes, place_watch: Callable[[bytes], int]) -> int:
        """Place a watch on a directory and take note of which one that is; returns the watch."""

    def forget(self, wd: int) -> None:
        """Take note that a watch is gone."""

    def of(self, record: Record) -> Actor | None:
        """Return who did what a record tells; never the agent."""

    def of_new(self, wd: int | None, name: bytes) -> Actor | None:
        """Return who made what a scan has just found under a name in a watched directory."""

    def is_own(self, record: Record) -> bool | None:
        """Tell whether an open, a read or a close was the agent's."""


class Nobody:
    """A source that cannot tell."""

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        """Have nothing to close."""

    def watch(self, path: bytes, place_watch: Callable[[bytes], int]) -> int:
        """Place a watch."""
        return place_watch(path)

    def forget(self, wd: int) -> None:
        """Have noted nothing."""

    def of(self, record: Record) -> Actor | None:  # noqa: ARG002 - as Who
        """Know nobody."""
        return None

    def of_new(self, wd: int | None, name: bytes) -> Actor | None:  # noqa: ARG002 - as Who
        """Know nobody."""
        return None

    def is_own(self, record: Record) -> bool | None:  # noqa: ARG002 - as Who
        """Know nobody."""
        return None


class Writers:
    """Who writes to files that stay open, to be named once the writing is reported."""

    def __init__(self) -> None:
        self._writers: dict[Place, Actor | None] = {}

    def note(self, place: Place, actor: Actor | None) -> None:
        """Remember who wrote; nobody is named where several did."""
        if self._writers.setdefault(place, actor) != actor:
            self._writers[place] = None

    def take(self, place: Place) -> Actor | None:
        """Return, and forget, who wrote."""
        return self._writers.pop(place, None)

    def clear(self) -> None:
        """Forget all: no file is being written to."""
        self._writers.clear()
