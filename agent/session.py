"""What every way of watching has in common: the scan with which a session begins, and how one ends."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.baseline import ROOT_KEY
from agent.event import GapReason
from agent.files import look
from agent.handover import Handover
from agent.identity import root_id
from agent.journal import Journal
from agent.report import found
from agent.scan import RootGone, Scanner
from agent.settings import AgentSettings, RootSettings
from agent.view import View
from agent.watches import Watches
from agent.writing import Writing


class End(enum.Enum):
    """Why a session is over."""

    STOPPED = "stopped"
    OVERFLOWED = "overflow"
    ROOT_GONE = "root gone"


class Stopping(Exception):
    """A long scan is given up because the agent is to stop; the next start goes on."""


@dataclass
class Start:
    """How a session begins; `reason` None: no gap is to be announced."""

    source: Literal["startup", "rescan"] = "startup"
    reason: GapReason | None = None
    since_ns: int | None = None
    returned: bool = False
    """The root was reported as gone, and is back."""


@dataclass
class Task:
    """One root, its journal, and who is told."""

    settings: AgentSettings
    root: RootSettings
    journal: Journal
    handover: Handover
    started: Callable[[int], None]
    """Called with the number of watches when a session's scan is done."""
    writing: Writing = field(init=False)

    def __post_init__(self) -> None:
        self.writing = Writing(self.journal, self.handover)

    @property
    def path(self) -> bytes:
        """Return the root's absolute path."""
        return os.fsencode(self.root.dir)

    def excluded(self) -> frozenset[bytes]:
        """Return the directories that are none of anyone's business."""
        paths: tuple[Path, ...] = (self.settings.state_dir, *self.settings.own_dirs)
        return frozenset(os.fsencode(os.path.realpath(path)) for path in paths)

    def watches(self) -> Watches:
        """Return an empty tree of directories."""
        return Watches(ROOT_KEY, root_id(self.root.project))

    def pause(self) -> None:
        """Commit within a scan; raises Stopping if the agent is to stop."""
        self.writing.commit_if_due()
        if self.handover.stopping.is_set():
            raise Stopping


def scan_whole(task: Task, view: View, scanner: Scanner, start: Start) -> None:
    """Report all that changed in the tree while nobody watched, behind a gap that says so.

    The very first scan reports what is there as `baseline`. Raises RootGone, Stopping.
    """
    state = look(task.path)
    if state is None or not state.is_dir:
        raise RootGone
    root, meta = view.watches.root, task.journal.meta
    view.found_root(state)
    task.journal.adopt_root(state.device, state.inode)
    if start.reason is not None:
        earlier = [gap.since_ns for gap in meta.open_gaps if gap.since_ns]
        since_ns = start.since_ns or meta.durable_ns
        view.report.open_gap(start.reason, since_ns=min([since_ns, *earlier]) or None)
    if start.returned:
        view.report.send(view.report.event("create", (root, b""), found(start.source), state, is_dir=True))
    scanner.compare(root, start.source, kind="create" if meta.complete else "baseline")
    meta.complete = True


def check_root(view: View) -> None:
    """Raise RootGone if the root's path is not what is watched: what lies above it may have been renamed."""
    state = look(view.root)
    if state is None or state.identity != view.watches.root.identity:
        raise RootGone
