"""Compares what is on disk with what has been reported, directory by directory, and reports the differences.

A directory is watched before it is listed, so what happens after the listing comes as a record. What happened
between the two is in both; `early` tells, and the records win, because they know the order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

import structlog

from agent.baseline import Known
from agent.edits import Edits
from agent.event import Kind, Source
from agent.files import State
from agent.records import APPEARS, ISDIR
from agent.report import Place, found
from agent.unseen import Unseen
from agent.view import View
from agent.watches import Directory

_log = structlog.get_logger()


class RootGone(Exception):
    """The watched directory is not there any more, or another one is in its place."""


class Scanner:
    """Walks a view's tree.

    `watch` places a watch on a path (None: this source has none); `early` gives the first record of each name
    that has come for a watch so far, `contested` the next one by which a name may have changed hands since it
    was looked at; `pause` is called between entries: it commits, and may raise.
    """

    def __init__(
        self,
        view: View,
        edits: Edits,
        unseen: Unseen,
        excluded: frozenset[bytes],
        *,
        watch: Callable[[bytes], int | None],
        early: Callable[[int | None], dict[bytes, int]],
        contested: Callable[[Place], int],
        pause: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._view = view
        self._edits = edits
        self._unseen = unseen
        self._excluded = excluded
        self._watch = watch
        self._early = early
        self._contested = contested
        self._pause = pause
        self._clock = clock

    def compare(self, top: Directory, source: Source, *, kind: Kind = "create", deep: bool = True) -> None:
        """Report all differences below a directory; `kind`: of new paths; `deep`: enter known directories."""
        for _ in self.steps(top, source, kind=kind, deep=deep):
            pass

    def steps(
        self, top: Directory, source: Source, *, kind: Kind = "create", deep: bool = True
    ) -> Iterator[Directory]:
        """Do what `compare` does a directory at a time: yields each once it has been visited."""
        pending = [top]
        while pending:
            directory = pending.pop()
            if not directory.gone:
                pending.extend(self._visit(directory, source, kind, deep=deep))
                yield directory

    def reconcile(self, place: Place, source: Source) -> None:
        """Look at one place again and report the difference; a directory is compared if it is new here."""
        if self.is_excluded(place):
            return
        try:
            state, known = self._view.look(place), self._view.known(place)
        except OSError as error:
            self._refuse(place[0], error)
            return
        if state is None:
            if known is not None:
                self._view.vanish(place, known, found(source))
            return
        child = self._meet(place, known, state, source, "create", hashed=True)
        if child is not None and child.wd is None and not child.refused:
            self.compare(child, source)

    def is_excluded(self, place: Place) -> bool:
        """Tell whether a place is the agent's own and no business of anyone's."""
        return bool(self._excluded) and self._view.path(*place) in self._excluded

    def _visit(self, directory: Directory, source: Source, kind: Kind, *, deep: bool) -> list[Directory]:
        names = self._open(directory)
        if names is None:
            return []
        early = self._early(directory.wd)
        children = []
        for name, listed, known in _merge(names, self._view.journal.baseline.children(directory.key)):
            first = early.pop(name, 0)
            if first and (known or first & APPEARS):
                continue
            child = self._entry((directory, name), known, source, kind, listed=listed, hashed=not first)
            if child is not None and (deep or known is None):
                children.append(child)
            self._pause()
        for name, first in early.items():
            self._missed((directory, name), first, source)
        return children

    def _entry(
        self, place: Place, known: Known | None, source: Source, kind: Kind, *, listed: bool, hashed: bool
    ) -> Directory | None:
        excluded = listed and self.is_excluded(place)
        try:
            state = None if excluded else self._view.look(place)
        except OSError as error:
            self._refuse(place[0], error)
            return None
        if state is not None and known is None and (coming := self._contested(place)):
            self._missed(place, coming, source)
            return None
        if state is not None:
            return self._meet(place, known, state, source, kind, hashed=hashed)
        if known is not None and (excluded or not listed):
            self._view.vanish(place, known, found(source))
        return None

    def _meet(
        self, place: Place, known: Known | None, state: State, source: Source, kind: Kind, *, hashed: bool
    ) -> Directory | None:
        """Report what is on disk at a place against what is known; returns the directory, if it is one."""
        if known is not None and known.is_dir != state.is_dir:
            self._view.vanish(place, known, found(source))
            known = None
        if known is None:
            return self._view.appear(
                place, state, found(source), is_dir=state.is_dir, kind=kind, hashed=hashed
            )
        self._edits.refresh(place, known, state, found(source))
        return self._view.enter(place, known, state)

    def _missed(self, place: Place, first: int, source: Source) -> None:
        """Report a name that was there at the watch and not at the listing: records say what became of it."""
        if first & APPEARS or self._view.known(place) or self.is_excluded(place):
            return
        is_dir = bool(first & ISDIR)
        child = self._view.appear(place, None, found(source), is_dir=is_dir, hashed=False)
        self._unseen.add(place, self._clock())
        if child is not None:
            self._pause()

    def _open(self, directory: Directory) -> list[bytes] | None:
        """Watch and list a directory; None if that cannot be: it is reported, or will be looked at again."""
        path = self._view.path(directory)
        try:
            if directory.wd is None and not directory.refused:
                self._place_watch(directory, path)
            with self._view.own.access((directory.parent or directory, directory.name)):
                return sorted(os.listdir(path))  # noqa: PTH208 - paths are bytes
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            if directory.parent is None:
                raise RootGone from error
            self._unseen.add((directory.parent, directory.name), self._clock())
        except OSError as error:
            self._refuse(directory, error)
        return None

    def _place_watch(self, directory: Directory, path: bytes) -> None:
        try:
            wd = self._watch(path)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._out_of_watches(directory)
            return
        if wd is not None:
            self._view.watches.bind(directory, wd)

    def _out_of_watches(self, directory: Directory) -> None:
        directory.refused = True
        if directory.parent is None or not directory.parent.refused:
            self._view.report.gap("watch_limit", directory)
            _log.error(
                "watch_limit",
                path=os.fsdecode(self._view.path(directory)),
                watches=len(self._view.watches),
                check="fs.inotify.max_user_watches",
            )

    def _refuse(self, directory: Directory, error: OSError) -> None:
        if directory.refused:
            return
        directory.refused = True
        self._view.report.gap("unreadable", directory)
        _log.error("unreadable", path=os.fsdecode(self._view.path(directory)), error=error.strerror)


def _merge(
    names: list[bytes], rows: Iterator[tuple[bytes, Known]]
) -> Iterator[tuple[bytes, bool, Known | None]]:
    """Yield each name of two ordered sequences once: whether the first has it, what the second has for it."""
    row = next(rows, None)
    for name in names:
        while row is not None and row[0] < name:
            yield row[0], False, row[1]
            row = next(rows, None)
        if row is not None and row[0] == name:
            yield name, True, row[1]
            row = next(rows, None)
        else:
            yield name, True, None
    while row is not None:
        yield row[0], False, row[1]
        row = next(rows, None)
