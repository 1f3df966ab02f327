"""Which names a file had before: what was renamed to its path, or to a directory above it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from api.pages import lineage
from api.pages.lineage import BEGINNING, Moment, Segment, Turn


def former(path: str, turns: Iterable[Turn]) -> list[Segment]:
    """Return the names from which files came to a path, each for as long as it was theirs; the last first.

    A file keeps what was told of it under its former names; so does one below a directory that was renamed.
    That rename is a segment of its own, a moment long.
    """
    known = sorted(turns, key=lambda turn: turn.at, reverse=True)
    segments: list[Segment] = []
    for turn in known:
        if turn.target in lines(path):
            chain = lineage.before(path, turn.at, known)
            segments += [*chain[1:], *_moments_of_directories(chain, known)]
    return list(dict.fromkeys(segments))


def lines(path: str) -> set[str]:
    """Return a path and the directories above it, whose renames are its own."""
    return set(lineage.lines(path))


def _moments_of_directories(chain: list[Segment], turns: list[Turn]) -> list[Segment]:
    """Return the renames between these names that were told of a directory above."""
    begun = {segment.after for segment in chain} - {BEGINNING}
    names = {segment.name for segment in chain}
    return [
        Segment(turn.source, _just_before(turn.at), turn.at)
        for turn in turns
        if turn.at in begun and turn.target is not None and turn.source not in names
    ]


def _just_before(moment: Moment) -> Moment:
    return moment._replace(raw_index=moment.raw_index - 1)
