"""The paths whose content is being hashed, and what is told of each once the hash is known; pure.

A wait follows its file under other names. It ends with its digest, or before that, when the file is written
to again or gone. What records have told comes before what scans have found, and neither grows without bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.event import Kind
from agent.files import State
from agent.hash_queue import Job
from agent.report import Place, When
from agent.watches import Directory

_MOST_TOLD = 4096
_MOST_FOUND = 64
PATIENCE_S = 0.1
"""How long an event waits for its hash."""
_MOST_TRIES = 5


@dataclass(eq=False)
class Wait:
    """One path; `state`: as it was when its hash was asked for."""

    place: Place
    state: State
    when: When
    kind: Kind | None = None
    """`closeWrite`, or `modify` where the writing has settled; None: the hash decides whether it changed."""
    written: bool = False
    job: Job | None = None
    tries: int = 0
    over: bool = False

    @property
    def hopeless(self) -> bool:
        """Tell whether the file was out of sight too often to look for it again."""
        return self.tries >= _MOST_TRIES


class Waits:
    """Waits by place, in the order in which they came; times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self._waits: dict[Place, Wait] = {}
        self._told: dict[Wait, None] = {}
        self._found: dict[Wait, None] = {}
        self._deadlines: dict[Wait, float] = {}
        self.found = 0
        """How many of them a scan waits for."""

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, place: Place) -> bool:
        return place in self._waits

    def __iter__(self) -> Iterator[Wait]:
        return iter(list(self._waits.values()))

    def get(self, place: Place) -> Wait | None:
        """Return the wait of a place."""
        return self._waits.get(place)

    @property
    def lined_up(self) -> bool:
        """Tell whether `next` has something to return."""
        return bool(self._told or self._found)

    def full(self, kind: Kind | None) -> bool:
        """Tell whether there is no room for another of a kind."""
        if kind is None:
            return self.found >= _MOST_FOUND
        return len(self._waits) - self.found >= _MOST_TOLD

    def add(self, wait: Wait, now: float) -> None:
        """Begin to wait; there is room, and no other wait for the place."""
        self._waits[wait.place] = wait
        self._line_up(wait)
        if wait.kind is None:
            self.found += 1
        else:
            self._deadlines[wait] = now + PATIENCE_S

    def retry(self, wait: Wait, state: State) -> None:
        """Have a file hashed again: it was not where it was looked for."""
        wait.job, wait.state, wait.tries = None, state, wait.tries + 1
        self._line_up(wait)

    def turn_into(
        self, wait: Wait, state: State, when: When, kind: Kind, now: float, *, written: bool
    ) -> None:
        """Wait for the same digest to tell something newer."""
        self.found -= wait.kind is None
        wait.state, wait.when, wait.kind, wait.written = state, when, kind, written
        self._deadlines.pop(wait, None)
        self._deadlines[wait] = now + PATIENCE_S
        if self._found.pop(wait, wait) is None:
            self._told[wait] = None

    def end(self, place: Place) -> Wait | None:
        """Wait no longer for a place; its hashing is given up."""
        wait = self._waits.pop(place, None)
        if wait is None:
            return None
        wait.over = True
        self.found -= wait.kind is None
        self._told.pop(wait, None)
        self._found.pop(wait, None)
        self._deadlines.pop(wait, None)
        if wait.job is not None:
            wait.job.given_up.set()
        return wait

    def end_below(self, directory: Directory) -> list[Wait]:
        """Wait no longer for anything below a directory; returns what was waited for."""
        return [wait for wait in self if _is_below(wait.place[0], directory) and self.end(wait.place)]

    def rename(self, place: Place, to: Place) -> None:
        """Go on under another name."""
        wait = self._waits.pop(place, None)
        if wait is not None:
            self._waits[to] = wait
            wait.place = to

    def next(self) -> Wait | None:
        """Return, once, the next wait without a job."""
        line = self._told or self._found
        wait = next(iter(line), None)
        if wait is not None:
            del line[wait]
        return wait

    def due(self, now: float) -> list[Wait]:
        """Return, once each, the events that have waited for long enough."""
        due = []
        for wait, deadline in self._deadlines.items():
            if deadline > now:
                break
            due.append(wait)
        for wait in due:
            del self._deadlines[wait]
        return due

    def deadline(self) -> float | None:
        """Return when the next event has waited for long enough."""
        return next(iter(self._deadlines.values()), None)

    def _line_up(self, wait: Wait) -> None:
        (self._found if wait.kind is None else self._told)[wait] = None


def _is_below(directory: Directory, above: Directory) -> bool:
    each: Directory | None = directory
    while each is not None and each is not above:
        each = each.parent
    return each is not None
