"""Compares what is on disk with what has been reported, directory by directory, and reports the differences.

A directory is watched before it is listed, so what happens after the listing comes as a record. What happened
between the two is in both; `early` tells, and the records win, because they know the order.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

import structlog

from agent import files, filesystem
from agent.baseline import Known
from agent.edits import Edits
from agent.event import Actor, Kind, Source
from agent.files import State
from agent.filters import Filter
from agent.records import APPEARS, ISDIR, WRITING
from agent.report import Place, found
from agent.unseen import Unseen
from agent.unwatched import Unwatched
from agent.view import View
from agent.watches import Directory

_log = structlog.get_logger()
_OUT_OF_WATCHES = (errno.ENOSPC, errno.ENOMEM)


def _nobody(_wd: int | None, _name: bytes) -> None:
    """Name nobody."""


def _never(_place: Place, _known: Known | None, _state: State | None) -> bool:
    """Defer nothing."""
    return False


class RootGone(Exception):
    """The watched directory is not there any more, or another one is in its place."""


class Scanner:
    """Walks a view's tree.

    `watch` places a watch on a path (None: this source has none); `early` gives the first record of each name
    that has come for a watch so far, `contested` the next one by which a name may have changed hands since it
    was looked at; `defer` may take an entry over, which is then not reported here; `pause` is called between
    entries: it commits, and may raise; `made_by` tells who made what is found. `unwatched` has what could not
    be covered.
    """

    def __init__(
        self,
        view: View,
        edits: Edits,
        unseen: Unseen,
        filter: Filter,
        *,
        watch: Callable[[bytes], int | None],
        early: Callable[[int | None], dict[bytes, int]],
        contested: Callable[[Place], int],
        pause: Callable[[], None],
        clock: Callable[[], float],
        defer: Callable[[Place, Known | None, State | None], bool] = _never,
        made_by: Callable[[int | None, bytes], Actor | None] = _nobody,
    ) -> None:
        self.unwatched = Unwatched(view.report, view.watches.root)
        self._view = view
        self._edits = edits
        self._unseen = unseen
        self.filter = filter
        self._watch = watch
        self._early = early
        self._contested = contested
        self._pause = pause
        self._clock = clock
        self._defer = defer
        self._made_by = made_by
        self._doubt: Callable[[Place, Known, State | None], bool] = _never
        self.former: Filter | None = None
        """What it hid and the present filter does not is nothing new: it is reported as `baseline`."""

    def compare_root(self, state: State, source: Source) -> None:
        """Report what has changed about the root itself, which is now in `state`."""
        place = (self._view.watches.root, b"")
        known = self._view.known(place)
        if known is not None:
            self._edits.refresh(place, known, state, found(source))

    def compare(self, top: Directory, source: Source, *, kind: Kind = "create", deep: bool = True) -> None:
        """Report all differences below a directory; `kind`: of new paths; `deep`: enter known directories."""
        for _ in self.steps(top, source, kind=kind, deep=deep):
            pass

    def steps(
        self, top: Directory, source: Source, *, kind: Kind = "create", deep: bool = True
    ) -> Iterator[Directory]:
        """Do what `compare` does a directory at a time: yields each once it has been visited."""
        self._view.hashes.begin_scan(whole=top.parent is None)
        pending = [top]
        while pending:
            directory = pending.pop()
            if not directory.gone:
                pending.extend(self._visit(directory, source, kind, deep=deep))
                yield directory

    def reconcile(self, place: Place, source: Source) -> None:
        """Look at one place again and report the difference; a directory is compared if it is new here."""
        self._view.hashes.begin_scan(whole=False)
        try:
            state, known = self._view.look(place), self._view.known(place)
        except OSError as error:
            self.refuse(place[0], error)
            return
        if self._leave_out(place, known, state, source):
            return
        if state is None:
            if known is not None:
                self._view.vanish(place, known, found(source))
            return
        child = self._meet(place, known, state, source, "create", hashed=True)
        if child is not None and _is_new(child):
            self.compare(child, source)

    def revisit(self, directory: Directory) -> Iterator[Directory]:
        """Look again at a directory that is polled, and at what is new in it; a step at a time."""
        if directory.parent is not None:
            self.reconcile((directory.parent, directory.name), "rescan")
        if not directory.gone:
            yield from self.steps(directory, "rescan", deep=False)

    def is_excluded(self, place: Place, *, is_dir: bool) -> bool:
        """Tell whether what is at a place is not reported."""
        return self.filter.hides(*place, is_dir=is_dir)

    def take_filter(self, filter: Filter) -> bool:
        """Go on with another filter; True: its rules are others, and a rescan has to follow."""
        before, self.filter = self.filter, filter
        if before.rules == filter.rules and before.own == filter.own:
            return False
        self.former = self.former or before
        return True

    @contextlib.contextmanager
    def doubting(self, doubt: Callable[[Place, Known, State | None], bool]) -> Iterator[None]:
        """Let `doubt` take over entries that are known within the block: those are not reported."""
        before, self._doubt = self._doubt, doubt
        try:
            yield
        finally:
            self._doubt = before

    def kind_of_new(self, place: Place, *, is_dir: bool) -> Kind:
        """Return what to call a path that is not known and was not told of."""
        return "baseline" if self.former and self.former.hides(*place, is_dir=is_dir) else "create"

    def look_again(self, place: Place, source: Source) -> Directory | None:
        """Look at a doubtful entry a second time; returns the directory that is to be entered."""
        known = self._view.known(place)
        return self._entry(place, known, source, "create", listed=False, hashed=True)

    def _visit(self, directory: Directory, source: Source, kind: Kind, *, deep: bool) -> list[Directory]:
        directory.refused = False
        self.filter.forget(directory)
        names = self._open(directory)
        if names is None:
            return []
        early = self._early(directory.wd)
        children = []
        for name, listed, known in _merge(names, self._view.journal.baseline.children(directory.key)):
            first = early.pop(name, 0)
            if first and (known or first & APPEARS):
                if known:
                    self._doubt((directory, name), known, None)
                continue
            hashed = not first & WRITING
            child = self._entry((directory, name), known, source, kind, listed=listed, hashed=hashed)
            if child is not None and (deep or known is None or _is_new(child)):
                children.append(child)
            self._pause()
        for name, first in early.items():
            self._missed((directory, name), first, source)
        if directory.parent is not None and not self._is_there(directory):
            self._view.unwatch(directory)  # entries were looked at by its path: all are looked at again
            self._unseen.add((directory.parent, directory.name), self._clock())
        if not directory.refused:
            self.unwatched.accept(directory)
        return children

    def _entry(
        self, place: Place, known: Known | None, source: Source, kind: Kind, *, listed: bool, hashed: bool
    ) -> Directory | None:
        try:
            state = self._view.look(place)
        except OSError as error:
            self.refuse(place[0], error)
            return None
        if self._leave_out(place, known, state, source):
            return None
        if known is not None and self._doubt(place, known, state):
            return None
        if state is not None and known is None and (coming := self._contested(place)):
            self._missed(place, coming, source)
            return None
        if self._defer(place, known, state):
            return None
        if state is not None:
            return self._meet(place, known, state, source, kind, hashed=hashed)
        if known is not None and not listed:
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
            if kind == "create":
                kind = self.kind_of_new(place, is_dir=state.is_dir)
            actor = self._made_by(place[0].wd, place[1]) if source == "rescan" else None
            return self._view.appear(
                place, state, found(source, actor), is_dir=state.is_dir, kind=kind, hashed=hashed
            )
        self._edits.refresh(place, known, state, found(source))
        return self._view.enter(place, known, state)

    def _leave_out(self, place: Place, known: Known | None, state: State | None, source: Source) -> bool:
        """Tell whether what is there is not reported; what was reported of it until now goes out of view."""
        if state is None or not self.is_excluded(place, is_dir=state.is_dir):
            return False
        if known is not None:
            self._view.move_out(place, known, found(source), extra="excluded")
        return True

    def _missed(self, place: Place, first: int, source: Source) -> None:
        """Report a name that was there at the watch and not at the listing: records say what became of it."""
        is_dir = bool(first & ISDIR)
        if first & APPEARS or self._view.known(place) or self.is_excluded(place, is_dir=is_dir):
            return
        child = self._view.appear(place, None, found(source), is_dir=is_dir, hashed=False)
        self._unseen.add(place, self._clock())
        if child is not None:
            self._pause()

    def _open(self, directory: Directory) -> list[bytes] | None:
        """Watch and list a directory; None if that cannot be: it is reported, or will be looked at again."""
        path = self._view.path(directory)
        try:
            covered = directory.wd is not None or self._place_watch(directory, path)
            names = self._names(directory, path)
            if not self._is_there(directory):  # neither watch nor names are this directory's
                raise FileNotFoundError
            if not covered:
                self._out_of_watches(directory)
            return names
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            if directory.parent is None:
                raise RootGone from error
            self._view.unwatch(directory)  # or it would not be entered again
            self._unseen.add((directory.parent, directory.name), self._clock())
        except OSError as error:
            self.refuse(directory, error)
        return None

    def _names(self, directory: Directory, path: bytes) -> list[bytes]:
        with self._view.own.access((directory.parent or directory, directory.name)):
            return files.names(path)

    def _is_there(self, directory: Directory) -> bool:
        """Tell whether a directory still has its path, and no other one has."""
        state = self._view.look((directory, b""))
        return state is not None and directory.identity in (None, state.identity)

    def _place_watch(self, directory: Directory, path: bytes) -> bool:
        """Watch a directory; False: no watches are left. One of another machine's is polled instead."""
        if self._is_foreign(directory, path):
            self.unwatched.refuse(directory, None)
            return True
        try:
            wd = self._watch(path)
        except FileExistsError:
            if directory not in self.unwatched:
                raise
            directory.refused = True  # mounted twice, and watched under its other name
        except OSError as error:
            if error.errno not in _OUT_OF_WATCHES:
                raise
            return False
        else:
            if wd is not None:
                self._view.watches.bind(directory, wd)
        return True

    def _is_foreign(self, directory: Directory, path: bytes) -> bool:
        """Tell whether a directory is on a file system below the root that others change."""
        parent = directory.parent
        if parent is None or self.unwatched.is_foreign(parent):
            return parent is not None
        here, above = directory.identity, parent.identity
        if here is None or above is None or here[0] == above[0]:
            return False
        kind = filesystem.type_at(path)
        if filesystem.is_network(kind) and directory not in self.unwatched:
            _log.warning("polled", path=os.fsdecode(path), filesystem=kind, why="it sends no kernel events")
        return filesystem.is_network(kind)

    def _out_of_watches(self, directory: Directory) -> None:
        if self.unwatched.refuse(directory, "watch_limit"):
            _log.error(
                "watch_limit",
                path=os.fsdecode(self._view.path(directory)),
                watches=len(self._view.watches),
                check="fs.inotify.max_user_watches",
            )

    def refuse(self, directory: Directory, error: OSError) -> None:
        """Announce that a directory cannot be looked into; it is tried again at each poll."""
        if not directory.refused and self.unwatched.refuse(directory, "unreadable"):
            _log.error("unreadable", path=os.fsdecode(self._view.path(directory)), error=error.strerror)


def _is_new(directory: Directory) -> bool:
    """Tell whether a directory is still to be watched and read: it appeared, or took another's place."""
    return directory.wd is None and not directory.refused


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
