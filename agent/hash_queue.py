"""A thread that hashes files one after the other, so that nothing else waits for a large one.

Jobs go in, digests come out in the same order; `done` is called on the thread after each. hashlib and read(2)
release the interpreter's lock, so the other threads run on meanwhile.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.files import State
from agent.hashing import Digest, Hasher
from agent.own import OwnAccess
from agent.report import Place

_PATIENCE_S = 1.0
"""How long the end waits for a read that hangs, on a network file system say; the thread dies with us."""


@dataclass(eq=False)
class Job:
    """A file to hash, where it was when the job was handed over."""

    place: Place
    path: bytes
    state: State
    given_up: threading.Event = field(default_factory=threading.Event)
    """Set when its digest is not wanted any more."""


class HashQueue:
    """Use as a context manager; `put` and `take` are called on one thread."""

    def __init__(self, hasher: Hasher, own: OwnAccess, done: Callable[[], None]) -> None:
        self._hasher = hasher
        self._own = own
        self._done = done
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._digests: deque[tuple[Job, Digest]] = deque()
        self._unfinished: dict[Job, None] = {}
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)

    def __enter__(self) -> HashQueue:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._unfinished:
            job.given_up.set()
        self._jobs.put(None)
        self._thread.join(_PATIENCE_S)

    def __len__(self) -> int:
        return len(self._unfinished)

    def put(self, job: Job) -> None:
        """Hash a file after those that were put before."""
        self._unfinished[job] = None
        self._jobs.put(job)

    def ready(self) -> bool:
        """Tell whether `take` has something to return, or to raise."""
        return bool(self._digests) or self._failure is not None

    def take(self) -> tuple[Job, Digest] | None:
        """Return the next digest; raises what ended the thread, which is a defect."""
        if self._digests:
            job, digest = self._digests.popleft()
            del self._unfinished[job]
            return job, digest
        if self._failure is not None:
            raise self._failure
        return None

    def _run(self) -> None:
        try:
            while job := self._jobs.get():
                self._digests.append((job, self._hash(job)))
                self._done()
        except BaseException as error:  # noqa: BLE001 - raised by `take`, where the process ends with it
            self._failure = error
            self._done()

    def _hash(self, job: Job) -> Digest:
        if job.given_up.is_set():
            return Digest("unstable", None, job.state)
        with self._own.access(job.place) as window:
            return self._hasher.digest(job.path, job.state, window, job.given_up)
