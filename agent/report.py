"""Makes raw events of places and states, and puts them into the journal's outbox."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from agent import identity
from agent.baseline import Known
from agent.changes import Difference
from agent.event import Actor, Event, Former, Gap, GapReason, Kind, Source
from agent.extended import Extended
from agent.files import State, filetype, flag_names
from agent.hashing import Digest
from agent.journal import Journal
from agent.watches import Directory, Watches, join

Place = tuple[Directory, bytes]
"""A name in a directory: a path that follows its directories' renames. `(root, b"")` is the root."""


class When(NamedTuple):
    """When something happened, and from where that is known."""

    time_ns: int
    source: Source = "kernel"
    actor: Actor | None = None
    """Who did it, where that is known."""


def found(source: Source, actor: Actor | None = None) -> When:
    """Return this moment, for what was found rather than told."""
    return When(time.time_ns(), source, actor)


_NOTHING_DIFFERS = Former()


class Reporter:
    """Writes the events of one tree."""

    def __init__(self, journal: Journal, watches: Watches) -> None:
        self._journal = journal
        self._watches = watches
        self._agent = journal.meta.agent
        self.silent: frozenset[Kind] = frozenset()
        """Kinds that are not reported; the baseline is kept all the same: later differences are right."""
        self.sent = 0
        """Events that were reported."""
        self._dropped = 0
        self.announced: Callable[[GapReason], object] = lambda _: None
        """Called with the reason of each gap."""

    def send(self, event: Event) -> None:
        """Give an event its number and keep it until it is published, unless its kind is not reported."""
        if event.kind in self.silent:
            self._dropped += 1
            return
        self.sent += 1
        self._journal.append(event)

    def count_dropped(self) -> int:
        """Return how many events were not reported for their kind since this was last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def event(
        self,
        kind: Kind,
        place: Place,
        when: When,
        state: State | None,
        *,
        is_dir: bool,
        known: Known | None = None,
    ) -> Event:
        """Return an event about a place, in the state that was seen, else with the id it is known by."""
        path, path_b64 = self.path(place)
        event = Event(
            kind, path, when.time_ns, when.source, path_b64=path_b64, is_dir=is_dir, actor=when.actor
        )
        typed = state or (known.state if known else None)
        event.filetype = filetype(place[1], typed.mode) if typed else None
        if state is not None:
            if known is not None and known.state is not None and known.state.extended is not None:
                _extend(event, known.state.extended)
            describe(event, state)
        self._name(event, place, typed)
        return event

    def path(self, place: Place) -> tuple[str, str | None]:
        """Return a place's path as text and, where that is not the path itself, its bytes in base64."""
        return _text(
            join(self._watches.path(place[0]), place[1]) if place[1] else self._watches.path(place[0])
        )

    def gap(self, reason: GapReason, directory: Directory, *, since_ns: int | None = None) -> Gap:
        """Announce that events below a directory may be missing."""
        gap = Gap(id="gap_" + secrets.token_hex(8), reason=reason, since_ns=since_ns, until_ns=time.time_ns())
        self.announced(reason)
        self._send_gap("gap", directory, gap)
        return gap

    def open_gap(self, reason: GapReason, *, since_ns: int | None = None) -> None:
        """Announce a gap over the whole tree, which the next complete scan closes."""
        gap = self.gap(reason, self._watches.root, since_ns=since_ns)
        self._journal.meta.open_gaps = [*self._journal.meta.open_gaps, gap]

    def partial_gap(self, reason: GapReason, directory: Directory) -> Gap:
        """Announce a gap below a directory: it lasts until `close_partial_gap` or a later session's scan."""
        gap = self.gap(reason, directory)
        self._journal.meta.partial_gaps = [*self._journal.meta.partial_gaps, gap]
        return gap

    def close_partial_gap(self, gap: Gap, directory: Directory) -> None:
        """Announce that what was missing below a directory has been found."""
        self._send_gap("gap_closed", directory, gap)
        self._journal.meta.partial_gaps = [
            each for each in self._journal.meta.partial_gaps if each.id != gap.id
        ]

    def close_gaps(self) -> None:
        """Announce that a scan of the whole tree has found what the open gaps may have hidden."""
        for gap in self._journal.meta.open_gaps:
            self._send_gap("gap_closed", self._watches.root, gap)
        self._journal.meta.open_gaps = []

    def _send_gap(self, kind: Kind, directory: Directory, gap: Gap) -> None:
        event = self.event(kind, (directory, b""), When(time.time_ns()), None, is_dir=True)
        event.gap = gap
        self.send(event)

    def _name(self, event: Event, place: Place, state: State | None) -> None:
        """Add file id and spine."""
        directory, name = place
        spine = self._watches.spine(directory)
        if not name:
            event.file_id, event.spine = directory.file_id, spine
        elif state is not None:
            event.file_id = identity.file_id(self._agent, state.identity)
            event.spine = [*spine, event.file_id]
        else:
            event.spine = None


def describe(event: Event, state: State) -> None:
    """Add a file's state."""
    event.size = 0 if state.is_dir else state.size
    event.mtime_ns = state.mtime_ns
    event.atime_ns = state.atime_ns
    event.birth_ns = state.birth_ns if state.birth_ns > 0 else None
    event.mode = state.mode & 0o7777
    event.uid = state.uid
    event.gid = state.gid
    event.flags = flag_names(state.flags) if state.flags else None
    if state.extended is not None:
        _extend(event, state.extended)


def _extend(event: Event, extended: Extended) -> None:
    event.acl = extended.acl or None
    event.streams = list(extended.streams) or None


def add_digest(event: Event, digest: Digest) -> None:
    """Add what hashing gave, and the state that goes with that content."""
    event.hash_status = digest.status
    event.sha256 = digest.sha256.hex() if digest.sha256 else None
    describe(event, digest.state)


def add_difference(event: Event, difference: Difference) -> None:
    """Add what changed and from what."""
    changed, former = difference
    event.changed = changed or None
    event.previous = None if former == _NOTHING_DIFFERS else former


def _text(path: bytes) -> tuple[str, str | None]:
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return path.decode(errors="replace"), base64.b64encode(path).decode()
