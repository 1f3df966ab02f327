"""Watches any paths of this machine for one process: no settings, no journal on disk, no hashes, no broker.

In come orders, which may show and hide paths; out go raw events, relative to `/`, as they happen. Both are
handled on one thread, so an order knows what has been told before it.
"""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.event import Event, Kind
from agent.filters import Filter
from agent.handover import Handover
from agent.kinds import ON_REQUEST
from agent.scope_session import Order, ScopeSession
from agent.scopes import Scope, ScopeFilter, Scopes
from agent.session import End, Start, Task
from agent.view import View
from agent.volatile import VolatileJournal
from agent.watching import Watching

if TYPE_CHECKING:
    from agent.settings import AgentSettings, RootSettings

_ROOT = Path("/")
_CHECK_INSTANCES = "fs.inotify.max_user_instances may be reached"


@dataclass(frozen=True)
class _Settings:
    """What an agent's settings say, but those are read and checked by pydantic, which takes 0.1 s to load."""

    kinds: frozenset[Kind] = frozenset()
    only: frozenset[Kind] = frozenset()
    except_: frozenset[Kind] = frozenset()
    settle_ms: int = 1000
    actors: bool = False
    max_hash_bytes: int = 0
    hash_bytes_per_second: int = 0
    poll_every_s: float = 2.0
    rescan_every_s: float = 0.0


@dataclass(frozen=True)
class _Root:
    dir: Path = _ROOT
    project: str = "local"
    only: frozenset[Kind] = frozenset()
    except_: frozenset[Kind] = frozenset()


_ROOT_SETTINGS = cast("RootSettings", _Root())


def _settings(kinds: Iterable[Kind]) -> AgentSettings:
    return cast("AgentSettings", _Settings(frozenset(kinds)))


@dataclass
class _Task(Task):
    scopes: Scopes = field(default_factory=Scopes)

    def filter(self, view: View) -> Filter:
        """Return what hides everything that nobody asked for."""
        return ScopeFilter(view, self.scopes)

    def former_filter(self, view: View) -> None:
        """Return None: what a scope hid is never told later."""


class _Watching(Watching):
    def __init__(self, lookout: Lookout, task: _Task, ended: Callable[[], None]) -> None:
        super().__init__(task, "inotify", Start(), ended)
        self._lookout = lookout

    def _run_session(self) -> tuple[End, int | None]:
        self._task.renew()
        session = self._lookout.begin_session()
        try:
            return session.run(self._start), session.lost_since_ns
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._lookout.refuse(error)
            raise


class Lookout:
    """The watching of one process; `tell` is called with each event, `ended` once it is over."""

    def __init__(self, tell: Callable[[Event], None], ended: Callable[[], None]) -> None:
        self._handover = Handover()
        self._journal = VolatileJournal(tell)
        self._task = _Task(_settings(()), _ROOT_SETTINGS, self._journal, self._handover, lambda _: None)
        self._orders: deque[Order] = deque()
        self._asked: Counter[Kind] = Counter()
        self._thread = _Watching(self, self._task, ended)
        self._session: ScopeSession | None = None
        self._refusal: OSError | None = None
        """Why there is no session, as far as it is known."""

    def start(self) -> None:
        """Begin to watch; nothing is shown yet."""
        self._thread.start()

    def order(self, order: Order) -> None:
        """Have steps done on the watching thread, behind all orders before; called on any thread."""
        self._orders.append(order)
        self._handover.wake.set()

    def stop(self) -> None:
        """End once what has happened is told; orders that are left are dropped."""
        self._handover.stop()

    def join(self, grace_s: float) -> None:
        """Wait until the watching is over; raises the defect that ended it, if one did."""
        self._thread.join(grace_s)
        if self._thread.failure is not None:
            raise self._thread.failure

    def show(self, scope: Scope, kinds: Iterable[Kind] = ()) -> Order:
        """Tell what happens in a scope, `kinds` too where they are told on request only; part of an order.

        OSError: nothing can be watched now.
        """
        if self._refusal is not None:
            raise self._refusal
        self._ask(+Counter(ON_REQUEST.intersection(kinds)))
        yield None
        self._task.scopes.add(scope)
        session = self._session
        for _ in session.reveal(scope) if session is not None else ():
            yield None
            if self._session is not session:
                return  # the one that takes its place begins with a scan of every scope

    def gaps(self) -> list[Event]:
        """Return the gaps that are open over single directories; part of an order."""
        return list(self._session.gaps()) if self._session is not None else []

    def tell_open_files(self) -> None:
        """Tell what was written to files that are still open; part of an order."""
        if self._session is not None:
            self._session.tell_open_files()

    def hide(self, scope: Scope, kinds: Iterable[Kind] = ()) -> Order:
        """Tell a scope no longer; part of an order."""
        session = self._session
        self._asked.subtract(ON_REQUEST.intersection(kinds))
        self._ask(Counter())
        self._task.scopes.remove(scope)
        for _ in session.conceal(scope) if session is not None else ():
            yield None
            if self._session is not session:
                return

    def begin_session(self) -> ScopeSession:
        """Return a session that has not begun; called by the watching thread."""
        self._session = ScopeSession(self._task, self._task.scopes, self._orders)
        self._refusal = None
        return self._session

    def refuse(self, error: OSError) -> None:
        """Carry out all orders though no session can be had; called by the watching thread."""
        self._session, self._refusal = None, OSError(error.errno, f"{error.strerror} ({_CHECK_INSTANCES})")
        while self._orders:
            for _ in self._orders.popleft():
                pass

    def _ask(self, more: Counter[Kind]) -> None:
        before = +self._asked
        self._asked = before + more
        if self._asked.keys() != self._task.settings.kinds:
            self._handover.change(_settings(self._asked), _ROOT_SETTINGS)
