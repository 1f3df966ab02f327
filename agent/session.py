"""What every way of watching has in common: the scan with which a session begins, and how one ends."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from agent import kinds
from agent.baseline import ROOT_KEY
from agent.coverage import Coverage
from agent.event import GapReason, Kind
from agent.filters import Chosen, Filter, chosen, own_paths
from agent.handover import Handover
from agent.hash_rate import HashRate
from agent.hashing import Hasher
from agent.identity import root_id
from agent.journal import Journal
from agent.metrics import DROPPED, GAPS, RESCANS
from agent.report import Reporter, found
from agent.scan import RootGone, Scanner
from agent.view import View
from agent.watches import Watches
from agent.writing import Writing

if TYPE_CHECKING:
    from agent.settings import AgentSettings, RootSettings

_STARTS_KEPT = 16
"""Gaps of starts that never came to the end of their scan; one more would say nothing new."""


class End(enum.Enum):
    """Why a session is over."""

    STOPPED = "stopped"
    OVERFLOWED = "overflow"
    ROOT_GONE = "root gone"
    UNFIT = "unfit"
    """The backend cannot watch this tree: another is to take over."""


class Unfit(Exception):
    """This way of watching cannot watch the tree, and another can."""


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
    hash_rate: HashRate = field(default_factory=HashRate)
    """Shared by all roots of an agent."""
    may_change_backend: bool = False
    """Nobody asked for a backend by name: one that runs out of watches gives way to one that needs none."""
    writing: Writing = field(init=False)
    coverage: Coverage = field(init=False)

    def __post_init__(self) -> None:
        self.writing = Writing(self.journal, self.handover)
        self.coverage = Coverage(self.root.project)

    def hasher(self) -> Hasher:
        """Return what hashes the root's files, within the limits of the settings."""
        self.hash_rate.set(self.settings.hash_bytes_per_second)
        return Hasher(self.settings.max_hash_bytes, self.hash_rate, self.journal.devices.of)

    @property
    def path(self) -> bytes:
        """Return the root's absolute path."""
        return os.fsencode(self.root.dir)

    def filter(self, view: View) -> Filter:
        """Return what decides which paths of a view are reported, by the settings as they are now."""
        return Filter(
            view,
            chosen(self.settings, self.root),
            own=own_paths(self.settings, view.root),
            ignore_files=self.settings.ignore_files,
        )

    def former_filter(self, view: View) -> Filter | None:
        """Return the filter of the last complete scan, None if it was the same."""
        meta = self.journal.meta
        former = Filter(view, Chosen(meta.include, meta.exclude), ignore_files=meta.ignore_files)
        return former if meta.complete and former.rules != self.filter(view).rules else None

    def completed(self, scanner: Scanner) -> None:
        """Note that the whole tree has been compared under a scanner's filter."""
        meta = self.journal.meta
        self.journal.note()
        meta.complete = True
        meta.include, meta.exclude, meta.ignore_files = scanner.filter.rules
        scanner.former = None
        RESCANS.labels(self.root.project).inc()

    def renew(self) -> bool:
        """Take over new settings, if there are any; called between two records, and between sessions."""
        changed = False
        while self.handover.changes:
            self.settings, self.root = self.handover.changes.popleft()
            changed = True
        return changed

    def silent(self) -> frozenset[Kind]:
        """Return the kinds of events that are not reported."""
        return kinds.dropped(self.settings, self.root)

    def count_dropped(self, view: View, scanner: Scanner) -> None:
        """Add to the metrics what was seen and not reported since the last time."""
        dropped = {"excluded": scanner.filter.count(), "kind": view.report.count_dropped()}
        for reason, number in dropped.items():
            if number:
                DROPPED.labels(self.root.project, reason).inc(number)

    def count_gap(self, reason: GapReason) -> None:
        """Add a gap to the metrics."""
        GAPS.labels(self.root.project, reason).inc()

    def watches(self) -> Watches:
        """Return an empty tree of directories."""
        return Watches(ROOT_KEY, root_id(self.root.project))

    def pause(self) -> None:
        """Commit within a scan; raises Stopping if the agent is to stop."""
        self.writing.commit_if_due()
        if self.handover.stopping.is_set():
            raise Stopping


def announce(task: Task, report: Reporter, start: Start) -> None:
    """Announce the loss with which a session begins, and before it the one that the journal still owes.

    One that an open gap says already is not: that one goes on until a scan is done, so losses that follow
    each other are one gap, not a hundred.
    """
    meta = task.journal.meta
    report.announced = task.count_gap
    for reason in dict.fromkeys(each for each in (meta.owed, start.reason) if each is not None):
        alike = sum(gap.reason == reason for gap in meta.open_gaps)
        if alike >= (_STARTS_KEPT if reason == meta.owed else 1):
            continue
        earlier = [gap.since_ns for gap in meta.open_gaps if gap.since_ns]
        since_ns = start.since_ns if reason == start.reason else None
        report.open_gap(reason, since_ns=min([since_ns or meta.durable_ns, *earlier]) or None)
    meta.owed = None


def scan_whole(task: Task, view: View, scanner: Scanner, start: Start) -> None:
    """Report all that changed in the tree while nobody watched, behind a gap that says so.

    The very first scan reports what is there as `baseline`. Raises RootGone, Stopping.
    """
    root, meta = view.watches.root, task.journal.meta
    state = view.look((root, b""))
    if state is None or not state.is_dir:
        raise RootGone
    view.found_root(state)
    task.journal.adopt_root(state.device, state.inode)
    view.report.silent = task.silent()
    announce(task, view.report, start)
    meta.open_gaps, meta.partial_gaps = [*meta.open_gaps, *meta.partial_gaps], []
    if start.returned:
        view.report.send(view.report.event("create", (root, b""), found(start.source), state, is_dir=True))
    scanner.former = task.former_filter(view)
    scanner.compare_root(state, start.source)
    scanner.compare(root, start.source, kind="create" if meta.complete else "baseline")
    task.completed(scanner)


def renew(task: Task, view: View, scanner: Scanner) -> bool:
    """Go on with new settings, if there are any; what they make visible or hide is found by a rescan."""
    if not task.renew():
        return False
    view.report.silent = task.silent()
    view.hashes.hasher.max_bytes = task.hasher().max_bytes
    if scanner.take_filter(task.filter(view)):
        task.handover.ask_rescan("patterns")
    return True


def check_root(view: View) -> None:
    """Raise RootGone if the root's path is not what is watched: what lies above it may have been renamed."""
    state = view.look((view.watches.root, b""))
    if state is None or state.identity != view.watches.root.identity:
        raise RootGone
