"""A root that is really watched, by a thread and a journal of the agent's own, without a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.devices import name_at
from agent.event import Event
from agent.files import look
from agent.handover import Handover
from agent.journal import Made, open_journal
from agent.outbox import Outbox
from agent.session import Start, Task
from agent.settings import AgentSettings
from agent.watching import Watching

_decode = msgspec.json.Decoder(list[Event]).decode
PATIENCE_S = 120.0
"""Ends only a run that hangs: whatever is waited for with it takes less on a slow and busy machine."""
_SETTLE_MS = 60_000
"""Within this time every file is closed, however slow the test is: only tests that say so see one settle."""


class Watched:
    """Watches `root` from `__enter__` on; leaving takes in what has happened, as a stopping agent does."""

    def __init__(self, root: Path, state: Path, *, start: Start | None = None, **settings: Any) -> None:
        self.root = root
        self.state = state
        self.settings = self._settings(settings)
        self.may_change_backend = False
        """Whether inotify may give way to fanotify where watches run out."""
        self._start = start
        self._changed = threading.Condition()
        self._watched = 0
        self.watches = 0
        """How many directories were watched when the last scan was done."""
        self._events: list[Event] = []
        self._row = 0
        self._expected: dict[str, int] = {}
        self._journal_path = state / "proj" / "journal.db"

    def __enter__(self) -> Watched:
        state = look(bytes(self.root))
        assert state is not None
        name = name_at(bytes(self.root), state.device)
        made = Made("machine", state.device, state.inode, state.birth_ns, name)
        self.journal, _ = open_journal(self._journal_path, made, self.settings.journal_max_bytes)
        self.handover = Handover()
        self.handover.committed = self._notify
        self.outbox = Outbox(self._journal_path, "proj", "host")
        task = Task(
            self.settings, self.settings.named_roots()[0], self.journal, self.handover, self._on_watched
        )
        task.may_change_backend = self.may_change_backend
        self.coverage = task.coverage
        backend = "inotify" if self.settings.backend == "auto" else self.settings.backend
        start = self._start or Start("startup", self.journal.first_gap())
        self.thread = Watching(task, backend, start, self._notify)
        self.thread.start()
        self.wait(lambda: self._watched > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.outbox.__exit__()
        self.journal.__exit__()

    def change(self, **settings: Any) -> None:
        """Give it other settings, as SIGHUP does."""
        self.settings = self._settings(settings)
        self.handover.change(self.settings, self.settings.named_roots()[0])

    def stop(self) -> None:
        """End the thread after it has taken in what has happened."""
        self.handover.stop()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        if self.thread.failure is not None:
            raise self.thread.failure

    def events(self) -> list[Event]:
        """Return all events that are in the outbox, in order; their numbers are checked."""
        while rows := self.outbox.rows(self._row):
            for each in rows:
                assert each.first_seq == self._expected.get(each.epoch, 1)
                events = _decode(b"[" + each.events + b"]")
                assert len(events) == each.size
                self._expected[each.epoch] = each.first_seq + each.size
                self._events += events
            self._row = rows[-1].id
        return self._events

    def acknowledge(self) -> None:
        """Say, as a publisher does, that the broker has all events that there are."""
        self.events()
        self.handover.acknowledge(self._row)

    def until(self, condition: Callable[[list[Event]], bool]) -> list[Event]:
        """Return the events as soon as they satisfy a condition."""
        self.wait(lambda: condition(self.events()))
        return self.events()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait, woken by every commit, until a condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not condition():
                if self.thread.failure is not None:
                    raise self.thread.failure
                assert time.monotonic() < deadline, "the agent did not get there in time"
                self._changed.wait(0.5)

    def _settings(self, settings: dict[str, Any]) -> AgentSettings:
        roots = [{"dir": self.root, "project": "proj"}]
        return AgentSettings(**{"roots": roots, "state_dir": self.state, "settle_ms": _SETTLE_MS} | settings)

    def _on_watched(self, watches: int) -> None:
        self._watched += 1
        self.watches = watches
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def bring_back(root: Path, **files: bytes) -> None:
    """Put another directory into the place of a root that is gone, with all its files at once."""
    back = root.with_name("back")
    back.mkdir()
    for name, content in files.items():
        (back / name).write_bytes(content)
    back.rename(root)


def brief(events: list[Event]) -> list[tuple[Any, ...]]:
    """Return kind and names of each event."""
    return [
        (event.kind, event.path) if event.kind != "rename" else (event.kind, event.path, event.renamed_to)
        for event in events
    ]


def has(kind: str, path: str) -> Callable[[list[Event]], bool]:
    """Return a test for an event of a kind and a path being there."""
    return lambda events: any((event.kind, event.path) == (kind, path) for event in events)


def one(events: list[Event], kind: str, path: str) -> Event:
    """Return the event of a kind and a path, of which there is exactly one."""
    (event,) = [event for event in events if (event.kind, event.path) == (kind, path)]
    return event
