"""The ways of watching a tree: what each sees, what it cannot, and which one a root gets, with the reason.

A backend is declared here and lives in a module of its own, imported when it is used. All of them report
through the same view, so for each of them replaying the events gives the tree.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agent import filesystem
from agent.session import End, Start, Task

Sight = Literal["history", "renames", "closes", "accesses", "actors", "mounts"]
"""`history`: every operation, in its order; without it several of one path are told as one.
`renames`: told as such wherever both ends are in view, not as delete and create.
`closes`: the end of writing, and whether anything was written. `accesses`: reads and opens, if asked for.
`actors`: who did it. `mounts`: that a file system below the root is not mounted any more."""


class BackendRefused(Exception):
    """The backend asked for cannot be used here; the message says why."""


class Session(Protocol):
    """One life of a backend; `lost_since_ns`: since when it may have missed something, after an overflow."""

    lost_since_ns: int | None

    def run(self, start: Start) -> End:
        """Scan, then report what happens until the session ends."""


@dataclass(frozen=True)
class Backend:
    """One way of watching."""

    name: str
    session: str
    """`module:class` of its Session, made of a Task."""
    sees: frozenset[Sight]
    platforms: frozenset[str] = frozenset()
    """Values of `sys.platform` where it is; none: all."""
    queue_setting: str | None = None
    """What to raise when its queue overflows."""

    @property
    def folded(self) -> bool:
        """Tell whether it may tell several operations of one path as one."""
        return "history" not in self.sees


_LINUX = frozenset(("linux",))
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            "inotify",
            "agent.kernel:KernelSession",
            frozenset(("history", "renames", "closes", "accesses", "mounts")),
            _LINUX,
            "fs.inotify.max_queued_events",
        ),
        Backend(
            "fanotify",
            "agent.fan_session:FanotifySession",
            frozenset(("renames", "closes", "accesses", "actors")),
            _LINUX,
            "fs.fanotify.max_queued_events",
        ),
        Backend("watchfiles", "agent.portable:PortableSession", frozenset()),
        Backend("poll", "agent.poll:PollSession", frozenset(("renames", "mounts"))),
    )
}

FALLBACK = "poll"
"""Needs nothing of the kernel."""


def instead_of(name: str, root: bytes) -> str:
    """Return the backend that takes over where one finds that it cannot watch a tree."""
    if name == "inotify":
        from agent.fanotify import refusal

        if refusal(root) is None:
            return "fanotify"
    return FALLBACK


class Choice(NamedTuple):
    """The backend of one root; `unwanted`: asked for by nobody, and it sees less than another would."""

    backend: Backend
    why: str
    unwanted: bool = False


def choose(asked: str, root: bytes, platform: str = sys.platform) -> Choice:
    """Return the backend for a root, `asked` for by name or `auto`; raises BackendRefused."""
    if asked != "auto":
        return Choice(_asked_for(asked, root, platform), "asked for")
    kind = filesystem.type_at(root)
    if filesystem.is_network(kind):
        return Choice(
            BACKENDS["poll"], f"{kind} is a network file system: it sends no kernel events", unwanted=True
        )
    if platform == "linux":
        return Choice(BACKENDS["inotify"], "this is Linux")
    return Choice(BACKENDS["watchfiles"], f"there is no inotify on {platform}")


def why_nobody(backend: Backend, root: bytes, *, wanted: bool) -> str | None:
    """Return why events of a root will not tell who did it, None if they will."""
    if backend.name not in ("inotify", "fanotify"):
        return f"{backend.name} cannot tell"
    if not wanted:
        return "actors = false"
    from agent.fanotify import refusal

    return refusal(root)


def new_session(name: str, task: Task) -> Session:
    """Return a session that has not begun; one of them may be used once."""
    backend = BACKENDS[name]
    module, _, class_name = backend.session.partition(":")
    session: Session = getattr(importlib.import_module(module), class_name)(task)
    task.coverage.backend, task.coverage.folded = backend.name, backend.folded
    return session


def is_there(backend: Backend) -> bool:
    """Tell whether a backend is part of this installation."""
    return importlib.util.find_spec(backend.session.partition(":")[0]) is not None


def _asked_for(name: str, root: bytes, platform: str) -> Backend:
    backend = BACKENDS[name]
    if (backend.platforms and platform not in backend.platforms) or not is_there(backend):
        raise BackendRefused(f"backend = '{name}': there is none on {platform}")
    if name == "fanotify":
        _try_fanotify(root)
    return backend


def _try_fanotify(root: bytes) -> None:
    from agent.fanotify import refusal

    if why := refusal(root):
        raise BackendRefused(f"backend = 'fanotify': {why}")
