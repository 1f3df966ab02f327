"""Which names a directory had: its renames and those above it, followed back and forth. Pure.

A rename of a directory is one event; what lies below has none of its own. So what stood in a directory at a
moment was told under the names that the directory had before, each for as long as it had it: a `Segment`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Moment(NamedTuple):
    """A place in the order of a project's events: by time, then by position in the log."""

    occurred_us: int
    raw_offset: int = 0
    raw_index: int = 0


BEGINNING = Moment(-(2**62))
END = Moment(2**62)
_LAST = 2**62


class Turn(NamedTuple):
    """A directory that was renamed (`target` is its new name) or went away (`target` is None)."""

    at: Moment
    source: str
    target: str | None = None


class Segment(NamedTuple):
    """A name, and the moments between which the directory had it: after `after`, up to and at `until`."""

    name: str
    after: Moment
    until: Moment


def end_of(occurred_us: int) -> Moment:
    """Return the moment after all events of a microsecond."""
    return Moment(occurred_us, _LAST, _LAST)


def before(name: str, then: Moment, turns: Iterable[Turn]) -> list[Segment]:
    """Return the names that the directory called `name` at a moment had up to then, the last one first.

    It ends where a directory of that name had gone: what was told before concerns another one.
    """
    segments, until = [], then
    for turn in sorted((turn for turn in turns if turn.at <= then), key=_at, reverse=True):
        if turn.target is not None and _holds(turn.target, name):
            segments.append(Segment(name, turn.at, until))
            name, until = turn.source + name[len(turn.target) :], turn.at
        elif _holds(turn.source, name):
            return [*segments, Segment(name, turn.at, until)]
    return [*segments, Segment(name, BEGINNING, until)]


def since(name: str, then: Moment, turns: Iterable[Turn]) -> list[Segment]:
    """Return the names that the directory has had from a moment on, the first one first.

    It ends where the directory went away, or another was put in its place.
    """
    segments, after = [], then
    for turn in sorted((turn for turn in turns if turn.at > then), key=_at):
        if turn.target is not None and _holds(turn.source, name):
            segments.append(Segment(name, after, turn.at))
            name, after = turn.target + name[len(turn.source) :], turn.at
        elif _holds(turn.source, name) or (turn.target is not None and _holds(turn.target, name)):
            return [*segments, Segment(name, after, turn.at)]
    return [*segments, Segment(name, after, END)]


def is_there_still(segments: list[Segment]) -> bool:
    """Tell whether the names that `since` gave lead to this day."""
    return segments[-1].until == END


def lines(name: str) -> Iterator[str]:
    """Yield a directory and those above it, but for the project's root."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _at(turn: Turn) -> Moment:
    return turn.at


def _holds(directory: str, name: str) -> bool:
    """Tell whether a directory is the named one or above it; the root is never renamed."""
    return bool(directory) and (name == directory or name.startswith(directory + "/"))
