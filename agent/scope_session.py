"""A session over the whole machine that looks only at what is asked for, and takes orders meanwhile.

An order is done in steps while no record waits, so what had happened before it has been told by then.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from agent.event import Event
from agent.kernel import KernelSession
from agent.report import found
from agent.scan import Scanner
from agent.scopes import Scope, ScopeFilter, Scopes
from agent.session import Task
from agent.watches import Directory

_DONE = object()
_ORDERS_S = 0.05
"""How long orders are carried out at a stretch; then open files, and a wish to stop, are looked at."""

Order = Iterator[object]


class ScopeScanner(Scanner):
    """Enters only what its filter, a ScopeFilter, shows something of."""

    filter: ScopeFilter

    def _open(self, directory: Directory) -> list[bytes] | None:
        if self.filter.names(directory) == []:
            self.leave(directory)
            return []
        return super()._open(directory)

    def leave(self, directory: Directory) -> None:
        """Let a directory be: nothing in it is asked for."""
        self._view.unwatch(directory)
        directory.refused = True  # or it would be taken for one that is still to be entered

    def _names(self, directory: Directory, path: bytes) -> list[bytes]:
        names = self.filter.names(directory)
        return super()._names(directory, path) if names is None else names

    def _place_watch(self, directory: Directory, path: bytes) -> bool:
        try:
            return super()._place_watch(directory, path)
        except PermissionError:
            if self.filter.names(directory) is None:
                raise
            directory.refused = True  # it is only on the way: what is below it is watched all the same
            return True


class ScopeSession(KernelSession):
    """One life of an inotify instance, over `scopes`; `orders`: what is to be done, the first first."""

    _scanner_class = ScopeScanner
    _scanner: ScopeScanner

    def __init__(self, task: Task, scopes: Scopes, orders: deque[Order]) -> None:
        self._scopes = scopes
        self._orders = orders
        super().__init__(task)

    def reveal(self, scope: Scope) -> Order:
        """Take in what a scope that was added makes visible; nothing of it is reported."""
        directory = self._nearest(scope)
        deep = scope.recursive and self._view.watches.path(directory) == scope.path
        yield from self._scanner.steps(directory, "startup", kind="baseline", deep=deep)

    def conceal(self, scope: Scope) -> Order:
        """Forget what a scope that was taken away has left visible to nobody."""
        directory = self._view.watches.root
        for name in filter(None, scope.path.split(b"/")):
            known = self._view.known((directory, name))
            if known is not None and self._scanner.is_excluded((directory, name), is_dir=known.is_dir):
                self._view.move_out((directory, name), known, found("rescan"), extra="excluded")
                if self._scanner.filter.names(directory) == []:
                    self._scanner.leave(directory)
                return
            child = directory.children.get(name)
            if child is None:
                return
            directory = child
        yield from self._scanner.steps(directory, "rescan", kind="baseline", deep=scope.recursive)

    def gaps(self) -> Iterator[Event]:
        """Yield the gaps that are open: what was shown before may have been missed already."""
        for directory, gap in self._scanner.unwatched.gaps():
            event = self._view.report.event("gap", (directory, b""), found("kernel"), None, is_dir=True)
            event.gap = gap
            yield event

    def tell_open_files(self) -> None:
        """Report what was written to files that are still open."""
        self._follower.settle(everything=True)

    def _nearest(self, scope: Scope) -> Directory:
        """Return the last directory on the way to a scope, or the scope itself, that is known."""
        directory = self._view.watches.root
        for name in filter(None, scope.path.split(b"/")):
            child = directory.children.get(name)
            if child is None:
                break
            directory = child
        return directory

    def _at_rest(self) -> None:
        super()._at_rest()
        until = time.monotonic() + _ORDERS_S
        while self._may_serve() and time.monotonic() < until:
            if next(self._orders[0], _DONE) is _DONE:
                self._orders.popleft()

    def _may_serve(self) -> bool:
        busy = self._errands or self._task.handover.changes or self._behind()
        return bool(self._orders) and not busy

    def _patience_s(self) -> float:
        if self._orders and not self._pairing.waiting:
            return 0.0
        return super()._patience_s()
