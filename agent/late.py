"""Tells what was put off until a hash was known, and hashes what scans have put off.

The hashing thread only reads files; everything here is called on the watching thread, which alone tells
anything: `turn` often, `rest` when no record is waiting, `flush` at the end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from agent.edits import Edits
from agent.event import Source
from agent.files import State
from agent.hash_queue import HashQueue, Job
from agent.hashing import Digest, Hasher
from agent.metrics import HASHED_BYTES, HASHES_WAITING
from agent.report import Place, found
from agent.unseen import Unseen
from agent.view import View
from agent.waits import Wait

_AT_A_STRETCH_S = 0.05
_FLUSH_S = 2.0
"""How long the end of a session waits for hashes; the next start tells the others."""


class LateHashes:
    """The hashing of one session, beside it; a context manager.

    `is_open` tells of a file that it is being written to; `in_flight` is how many the thread is given at a
    time: one to hash and one to go on with, while the rest stay here, where renames are known.
    """

    def __init__(
        self,
        view: View,
        edits: Edits,
        unseen: Unseen,
        hasher: Hasher,
        wake: threading.Event,
        project: str,
        *,
        is_open: Callable[[Place], bool] = lambda _: False,
        in_flight: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._hashes = view.hashes
        self._edits = edits
        self._unseen = unseen
        self._wake = wake
        self._is_open = is_open
        self._in_flight = in_flight
        self._clock = clock
        self._queue = HashQueue(hasher, view.own, wake.set)
        self._running: dict[Job, Wait] = {}
        self._for_rest: deque[tuple[Wait, Digest]] = deque()
        self._visit: Iterator[None] | None = None
        self._bytes = HASHED_BYTES.labels(project)
        self._waiting = HASHES_WAITING.labels(project)
        self._shown = 0
        self._then: Callable[[], None] | None = None

    def __enter__(self) -> LateHashes:
        self._hashes.later = True
        self._queue.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.__exit__()
        self._waiting.set(0)

    def wait_s(self) -> float:
        """Return how long it is until there is something to do, if no hash is ready before."""
        if self._can_step():
            return 0.0
        deadline = self._hashes.waits.deadline()
        return float("inf") if deadline is None else max(0.0, deadline - self._clock())

    def then(self, call: Callable[[], None]) -> None:
        """Call something once, as soon as the hashes of all that scans have met are there."""
        self._then = call
        self._call_if_settled()

    def turn_if_due(self) -> None:
        """Do what `turn` does, if there is anything to do."""
        waits = self._hashes.waits
        idle = waits.lined_up and len(self._queue) < self._in_flight
        deadline = waits.deadline()
        if idle or self._queue.ready() or (deadline is not None and deadline <= self._clock()):
            self.turn()

    def turn(self) -> None:
        """Tell what has its hash now, or cannot wait for it any longer; keep the hashing thread busy."""
        waits = self._hashes.waits
        while taken := self._queue.take():
            self._take(*taken)
        for wait in waits.due(self._clock()):
            known = self._view.known(wait.place)
            if known is not None:
                self._edits.announce(wait, known)
        while len(self._queue) < self._in_flight and (next_wait := waits.next()):
            self._hand_over(next_wait)
        self._count()

    def rest(self, behind: Callable[[], bool], pause: Callable[[], None]) -> None:
        """Go on for a moment with what scans have put off, as long as no record is waiting."""
        until = self._clock() + _AT_A_STRETCH_S
        while self._for_rest and not behind():
            self._settle(*self._for_rest.popleft())
        while self._can_step() and self._clock() < until and not behind():
            self._step()
            pause()
            self.turn()
        self.turn()
        self._call_if_settled()

    def flush(self) -> None:
        """Wait a while for hashes; what is told without one is told again by the next start."""
        deadline = self._clock() + _FLUSH_S
        waits = self._hashes.waits
        while waits and self._clock() < deadline:
            self._wake.clear()
            self.turn()
            while self._for_rest:
                self._settle(*self._for_rest.popleft())
            if waits and not self._queue.ready():
                self._wake.wait(0.05)
        self._call_if_settled()
        for wait in waits:
            self._edits.give_up(wait.place)
        self._count()

    def _call_if_settled(self) -> None:
        if self._then is not None and not self._hashes.owing:
            call, self._then = self._then, None
            call()

    def _hand_over(self, wait: Wait) -> None:
        wait.job = Job(wait.place, self._view.path(*wait.place), wait.state)
        self._running[wait.job] = wait
        self._queue.put(wait.job)

    def _take(self, job: Job, digest: Digest) -> None:
        wait = self._running.pop(job)
        if digest.status != "vanished":
            self._hashes.hashed_bytes += digest.state.size
        if wait.over or wait.job is not job:
            return
        if wait.place[0].gone:
            self._hashes.waits.end(wait.place)
        elif digest.status == "vanished" and self._view.path(*wait.place) != job.path:
            self._hashes.waits.retry(wait, wait.state)
        elif digest.status == "vanished" or wait.kind is None:  # a record that is still to come may say more
            self._for_rest.append((wait, digest))
        else:
            self._tell(wait, digest)

    def _tell(self, wait: Wait, digest: Digest) -> None:
        self._hashes.waits.end(wait.place)
        known = self._view.known(wait.place)
        if known is not None and not known.is_dir:
            self._edits.hashed(wait, known, digest)

    def _settle(self, wait: Wait, digest: Digest) -> None:
        """Look where the file is now, before its hash decides something; it may have to be hashed again."""
        if wait.over:
            return
        state, known = self._look(wait.place), self._view.known(wait.place)
        if known is None or state is None or state.identity != wait.state.identity or wait.hopeless:
            self._lose(wait)
        elif digest.status == "vanished" or not _is_of(digest, state):
            self._hashes.waits.retry(wait, state)
        else:
            self._hashes.waits.end(wait.place)
            self._edits.refresh(wait.place, known, state, wait.when, digest._replace(state=state))

    def _lose(self, wait: Wait) -> None:
        self._hashes.waits.end(wait.place)
        self._hashes.lost(wait)
        self._unseen.add(wait.place, self._clock())

    def _can_step(self) -> bool:
        waiting = self._visit is not None or self._hashes.owed
        return bool(waiting) and not self._hashes.waits.full(None)

    def _step(self) -> None:
        """Look at one more name in the directories that scans have put off."""
        self._visit = self._visit or self._visits()
        if next(self._visit, self) is self:
            self._visit = None

    def _visits(self) -> Iterator[None]:
        while visited := self._hashes.next_directory():
            directory, source = visited
            for name, known in self._view.journal.baseline.children(directory.key):
                if directory.gone:
                    break
                if not known.is_dir:
                    self._look_again((directory, name), source)
                    yield

    def _look_again(self, place: Place, source: Source) -> None:
        known, state = self._view.known(place), self._look(place)
        if known is None or known.is_dir or self._is_open(place) or place in self._hashes.waits:
            return
        if state is not None and not state.is_dir:
            self._hashes.begin_scan(whole=False)
            self._edits.refresh(place, known, state, found(source))

    def _look(self, place: Place) -> State | None:
        with contextlib.suppress(OSError):
            return self._view.look(place)
        return None

    def _count(self) -> None:
        if self._hashes.hashed_bytes:
            self._bytes.inc(self._hashes.hashed_bytes)
            self._hashes.hashed_bytes = 0
        waiting = len(self._hashes.waits) + self._hashes.owed
        if waiting != self._shown:
            self._shown = waiting
            self._waiting.set(waiting)


def _is_of(digest: Digest, state: State) -> bool:
    """Tell whether a digest is that of a file as it is now, as far as can be told."""
    return digest.status == "unstable" or state.same_content(digest.state)
