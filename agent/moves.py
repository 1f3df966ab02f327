"""Finds the renames that happened between two listings of a tree; what is not certain is delete and create.

A scan leaves to this what has gone, what is new and what was replaced. What is known at one place, is not
there any more and is found at another by device, inode and birth time was renamed: that is no guess where the
file system tells birth times and the file has no other link.
"""

from __future__ import annotations

import contextlib

from agent.baseline import Known
from agent.event import Source
from agent.files import State
from agent.report import Place, found
from agent.scan import Scanner
from agent.view import View
from agent.watches import Directory

MAX_NOTED = 20_000
"""Places that are held back in one round; the scan reports further ones as it finds them."""
_Identity = tuple[int, int, int]


class Moves:
    """The renames of one round; `note` is the scanner's `defer`, `settle` reports what it held back."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.noting = False
        self._noted: dict[Place, None] = {}
        self._left: dict[_Identity, Place] = {}
        """Where something was known that is not there any more."""
        self._arrived: dict[_Identity, Place] = {}
        """Where something is that was not known there."""
        self._opened: set[Directory] = set()

    def note(self, place: Place, known: Known | None, state: State | None) -> bool:
        """Hold a place back if another file is there than was known, or none; False: it is as it was."""
        before = known.state if known else None
        if not self.noting or (known and not before) or len(self._noted) >= MAX_NOTED:
            return False
        if (before and before.identity) == (state and state.identity):
            return False
        self._noted[place] = None
        if before and _is_certain(before):
            self._left[before.identity] = place
        if state and (_is_certain(state) or state.is_dir):
            self._arrived[state.identity] = place
        return True

    def settle(self, scanner: Scanner, source: Source) -> None:
        """Report renames, what is found in directories that moved or are new, and then all the rest."""
        while self._move_all(scanner, source) or self._enter_all(scanner, source) or self._open_all():
            pass
        self.noting = False
        for place in self._noted:
            if not place[0].gone:
                scanner.reconcile(place, source)
        self._noted.clear()
        self._left.clear()
        self._arrived.clear()
        self._opened.clear()

    def _move_all(self, scanner: Scanner, source: Source) -> bool:
        """Report each rename whose target is free by now; of a ring of renames one goes over its target."""
        pairs = [(each, target) for each, target in self._arrived.items() if each in self._left]
        for identity, target in [pair for pair in pairs if not self._is_awaited(pair[1])] or pairs[:1]:
            origin = self._left.pop(identity)
            del self._arrived[identity]
            if self._move(origin, target, identity, source):
                self._noted.pop(target, None)
                scanner.reconcile(target, source)
        return bool(pairs)

    def _enter_all(self, scanner: Scanner, source: Source) -> bool:
        """Report the directories that are new, and note what is in them."""
        new = [
            (identity, place)
            for identity, place in self._arrived.items()
            if self._view.known(place) is None and (state := self._look(place)) and state.is_dir
        ]
        for identity, place in new:
            del self._arrived[identity]
            self._noted.pop(place, None)
            scanner.reconcile(place, source)
        return bool(new)

    def _open_all(self) -> bool:
        """Note what was in directories that are gone, if something could have been moved out of them."""
        gone = [place[0].children.get(place[1]) for place in self._left.values()] if self._arrived else []
        closed = [each for each in gone if each is not None and each not in self._opened]
        for directory in closed:
            self._opened.add(directory)
            for name, known in self._view.journal.baseline.children(directory.key):
                if known.state and _is_certain(known.state) and len(self._left) < MAX_NOTED:
                    self._left.setdefault(known.state.identity, (directory, name))
        return bool(closed)

    def _move(self, origin: Place, target: Place, identity: _Identity, source: Source) -> bool:
        """Report a rename, if it is still one."""
        known, state = self._view.known(origin), self._look(target)
        if not (_is(known and known.state, identity) and _is(state, identity)):
            return False
        if _is(self._look(origin), identity) or _is_within(origin, target):
            return False
        assert known is not None
        assert state is not None
        over = self._view.known(target)
        if over is not None:
            self._view.vanish(target, over, found(source), extra="override")
        self._view.rename(origin, target, known, state, found(source))
        return True

    def _is_awaited(self, target: Place) -> bool:
        """Tell whether what is known at a rename's target is itself to be renamed first."""
        known = self._view.known(target)
        identity = known.state.identity if known and known.state else None
        return identity in self._left and identity in self._arrived

    def _look(self, place: Place) -> State | None:
        with contextlib.suppress(OSError):
            return None if place[0].gone else self._view.look(place)
        return None


def _is_certain(state: State) -> bool:
    """Tell whether equal identity means the same file, at one place only."""
    return state.birth_ns > 0 and (state.is_dir or state.links == 1)


def _is(state: State | None, identity: _Identity) -> bool:
    return state is not None and state.identity == identity


def _is_within(place: Place, other: Place) -> bool:
    """Tell whether a place lies below another, or is gone with its directory."""
    above: Directory | None = place[0]
    while above is not None:
        if above.gone or (above.parent, above.name) == other:
            return True
        above = above.parent
    return False
