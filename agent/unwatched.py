"""Directories that the kernel does not tell about, or that cannot be read: polled until that ends.

Scans say which (`refuse`, `accept`). What may be missed there is a gap, one for a directory with all below
it; it is closed once everything in it has been read again and, where the source has watches, has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.event import Gap, GapReason
from agent.report import Reporter
from agent.watches import Directory

MAX_GAPS = 64
"""Gaps open at a time; then one over the whole tree, of each reason, stands for all further ones."""

Refusal = GapReason | None
"""Why a directory is not covered; None: it is polled from the start, so nothing is missed."""


class _Hole(NamedTuple):
    reason: Refusal
    gap: Gap | None


class Unwatched:
    """The directories of one view that are polled; one thread."""

    def __init__(self, report: Reporter, root: Directory) -> None:
        self._report = report
        self._root = root
        self._holes: dict[Directory, _Hole] = {}
        self._sizes: Counter[str] = Counter()
        """How many directories each open gap still has, by its id."""
        self._scopes: dict[str, tuple[Directory, Gap]] = {}
        self._spare: dict[GapReason, Gap] = {}
        """Gaps over the whole tree, once there are too many."""

    def __len__(self) -> int:
        return len(self._holes)

    def __contains__(self, directory: Directory) -> bool:
        return directory in self._holes

    def is_foreign(self, directory: Directory) -> bool:
        """Tell whether a directory is polled though nothing refused it: all below it is as well."""
        hole = self._holes.get(directory)
        return hole is not None and hole.reason is None

    def refuse(self, directory: Directory, reason: Refusal) -> bool:
        """Note that a directory is not covered; True: this was not known and is not part of one above."""
        directory.refused = True
        hole = self._holes.get(directory)
        if hole is not None and hole.reason == reason:
            return False
        above = self._holes.get(directory.parent) if directory.parent else None
        inherited = above is not None and above.reason == reason
        gap = above.gap if above and inherited else self._announce(directory, reason)
        self._leave(hole)
        self._holes[directory] = _Hole(reason, gap)
        if gap is not None:
            self._sizes[gap.id] += 1
        return not inherited

    def accept(self, directory: Directory) -> None:
        """Note that a directory has been watched and read without any refusal."""
        self._leave(self._holes.pop(directory, None))

    def poll(self, visit: Callable[[Directory], Iterator[object]]) -> Iterator[object]:
        """Visit each directory that is still there; yields after each, so that it can be done in steps."""
        self.forget_gone()
        for directory in list(self._holes):
            if not directory.gone:
                yield from visit(directory)

    def forget_gone(self) -> None:
        """Forget the directories that are not in the tree any more."""
        for directory in [each for each in self._holes if each.gone]:
            self.accept(directory)

    def close_mended(self) -> None:
        """Announce that gaps without a directory are closed; called when no visit is under way."""
        for key in [key for key in self._scopes if not self._sizes[key]]:
            directory, gap = self._scopes.pop(key)
            del self._sizes[key]
            if self._spare.get(gap.reason) is gap:
                del self._spare[gap.reason]
            self._report.close_partial_gap(gap, directory)

    def gaps(self) -> list[tuple[Directory, Gap]]:
        """Return the gaps that are open, each with the directory that it is over."""
        return list(self._scopes.values())

    def polled(self) -> int:
        """Count the directories that are polled; those that cannot even be read are not covered at all."""
        covered = (each for each, hole in self._holes.items() if hole.reason != "unreadable")
        return sum(each.wd is None and not each.gone for each in covered)

    def _announce(self, directory: Directory, reason: Refusal) -> Gap | None:
        if reason is None or reason in self._spare:
            return self._spare[reason] if reason else None
        scope = directory if len(self._scopes) < MAX_GAPS else self._root
        gap = self._report.partial_gap(reason, scope)
        self._scopes[gap.id] = scope, gap
        if scope is not directory:
            self._spare[reason] = gap
        return gap

    def _leave(self, hole: _Hole | None) -> None:
        if hole is not None and hole.gap is not None:
            self._sizes[hole.gap.id] -= 1
