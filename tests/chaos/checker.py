"""Holds what topics and tables say against the model, and tells each way in which they differ; pure.

What is missing, what stands twice, what is out of order, what nobody asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.chaos.model import File, Identity, Told

_SHOWN = 3
"""Examples of each kind of fault."""


class Faults:
    """What is wrong, by kind, with a few examples each; falsy where nothing is."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._examples: dict[str, list[object]] = {}

    def add(self, kind: str, example: object) -> None:
        """Note one."""
        self.count[kind] += 1
        shown = self._examples.setdefault(kind, [])
        if len(shown) < _SHOWN:
            shown.append(example)

    def __bool__(self) -> bool:
        return bool(self.count)

    def __str__(self) -> str:
        lines = [f"{count} × {kind}, as {self._examples[kind]}" for kind, count in self.count.items()]
        return "\n".join(lines) or "nothing is wrong"


class Seen(NamedTuple):
    """A record of a normalised topic, by its headers."""

    partition: int
    src: tuple[int, int, int]
    identity: Identity
    event_id: str
    value: Hashable
    """Its value, or a digest of it."""


class Row(NamedTuple):
    """A row of `events`, in the order of its partition's records."""

    partition: int
    src: tuple[int, int, int]
    identity: Identity
    event_id: str
    event: str
    path: str
    size: int
    duplicate: bool


class Run(NamedTuple):
    """The newest state of a workflow run."""

    identity: str
    workflow: str
    event_id: str
    state: str


class Checker:
    """Compares one thing after another with the model; `faults` gathers what it finds."""

    def __init__(self, told: Sequence[Told], files: Mapping[str, Mapping[str, File]]) -> None:
        self.faults = Faults()
        self._told = {each.identity: each for each in told}
        self._order = _by_partition((each.partition, each.identity) for each in told)
        self._files = {
            (project, path): file for project, tree in files.items() for path, file in tree.items()
        }
        self._ids: dict[Identity, str] = {}
        self._events: dict[str, Identity] = {}

    def topic(self, name: str, records: Iterable[Seen]) -> None:
        """Check a normalised topic: what a subscriber keeps is every event, in the order of the raw topic.

        A record that was written again, at a `src` that was there before, must be the same one.
        """
        last: dict[int, tuple[int, int, int]] = {}
        values: dict[tuple[int, tuple[int, int, int]], int] = {}
        kept: list[tuple[int, Identity]] = []
        before: dict[int, Identity] = {}
        for each in records:
            place = each.partition, each.src
            if each.src <= last.get(each.partition, (-1, -1, -1)):
                if values.get(place) != hash(each.value):
                    self.faults.add(f"{name}: another record at the same src", each)
                continue
            last[each.partition], values[place] = each.src, hash(each.value)
            if before.get(each.partition) != each.identity:
                kept.append((each.partition, each.identity))
            before[each.partition] = each.identity
            self._place(name, each.identity, each.src)
            self._name(name, each.identity, each.event_id)
        self._compare(name, kept)

    def rows(self, rows: Iterable[Row]) -> None:
        """Check the table of events: one row each, with what the model says of it."""
        found: list[tuple[int, Identity]] = []
        for row in rows:
            found.append((row.partition, row.identity))
            self._place("events", row.identity, row.src)
            self._name("events", row.identity, row.event_id)
            told = self._told.get(row.identity)
            if told and (row.event, row.path, row.size) != (told.event, told.path, told.size):
                self.faults.add("events: another event", (row, told))
            if told and row.duplicate != told.duplicate:
                self.faults.add("events: duplicate flagged wrongly", (row, told))
        self._compare("events", found)

    def activity(self, sums: Mapping[tuple[str, str], tuple[int, int, int]]) -> None:
        """Check the sums by project and event: how many, duplicates among them, bytes."""
        wanted: dict[tuple[str, str], tuple[int, int, int]] = {}
        for each in self._told.values():
            at = each.identity[0], each.event
            events, duplicates, size = wanted.get(at, (0, 0, 0))
            wanted[at] = events + 1, duplicates + each.duplicate, size + each.size
        for at in wanted.keys() | sums.keys():
            if wanted.get(at) != sums.get(at):
                self.faults.add("activity: another sum", (at, wanted.get(at), sums.get(at)))

    def files(self, where: str, found: Mapping[tuple[str, str], File]) -> None:
        """Check the last known state of every path."""
        for at in self._files.keys() - found.keys():
            self.faults.add(f"{where}: missing", at)
        for at in found.keys() - self._files.keys():
            self.faults.add(f"{where}: is there no more", at)
        for at in found.keys() & self._files.keys():
            if found[at] != self._files[at]:
                self.faults.add(f"{where}: another state", (at, found[at], self._files[at]))

    def runs(self, where: str, runs: Iterable[Run], ended: str = "succeeded") -> None:
        """Check that each event ran each workflow that it matches, once, and how it ended; after a topic."""
        found: Counter[tuple[str, Identity | str]] = Counter()
        for run in runs:
            found[(run.workflow, self._events.get(run.event_id, run.event_id))] += 1
            if run.state != ended:
                self.faults.add(f"{where}: not {ended}", run)
        self._once(where, found)

    def target(self, workflow: str, calls: Iterable[tuple[str, str]]) -> None:
        """Check what a workflow's target got, as (delivery, event): at least once each, by one id."""
        by_event: dict[str, set[str]] = {}
        for delivery, event_id in calls:
            by_event.setdefault(event_id, set()).add(delivery)
        where = f"target of {workflow}"
        found: Counter[tuple[str, Identity | str]] = Counter()
        for event_id, deliveries in by_event.items():
            found[(workflow, self._events.get(event_id, event_id))] += len(deliveries)
        self._once(where, found, workflow)

    def _once(self, where: str, found: Counter[tuple[str, Identity | str]], only: str | None = None) -> None:
        wanted = {
            (workflow, each.identity)
            for each in self._told.values()
            for workflow in each.runs
            if only in (None, workflow)
        }
        for pair in wanted - found.keys():
            self.faults.add(f"{where}: missing", pair)
        for pair, count in found.items():
            if pair not in wanted:
                self.faults.add(f"{where}: nobody asked for it", pair)
            elif count > 1:
                self.faults.add(f"{where}: more than once", pair)

    def _place(self, where: str, identity: Identity, src: tuple[int, int, int]) -> None:
        told = self._told.get(identity)
        if told is not None and told.src != src[:2]:
            self.faults.add(f"{where}: another src", (identity, src, told.src))

    def _name(self, where: str, identity: Identity, event_id: str) -> None:
        """See to it that an event has one id in all places, and no other has it."""
        if self._ids.setdefault(identity, event_id) != event_id:
            self.faults.add(f"{where}: another event id", (identity, event_id))
        if self._events.setdefault(event_id, identity) != identity:
            self.faults.add(f"{where}: an event id of two events", (identity, event_id))

    def _compare(self, where: str, found: Iterable[tuple[int, Identity]]) -> None:
        by_partition = _by_partition(found)
        for partition in self._order.keys() | by_partition.keys():
            wanted, got = self._order.get(partition, []), by_partition.get(partition, [])
            if wanted == got:
                continue
            counts, known = Counter(got), set(wanted)
            for identity in known - counts.keys():
                self.faults.add(f"{where}: missing", (partition, identity))
            for identity, count in counts.items():
                if identity not in known:
                    self.faults.add(f"{where}: nobody asked for it", (partition, identity))
                elif count > 1:
                    self.faults.add(f"{where}: more than once", (partition, identity))
            self._compare_order(where, [each for each in wanted if each in counts], got, known)

    def _compare_order(
        self, where: str, wanted: list[Identity], got: list[Identity], known: set[Identity]
    ) -> None:
        first = list(dict.fromkeys(each for each in got if each in known))
        for expected, actual in zip(wanted, first, strict=True):
            if expected != actual:
                self.faults.add(f"{where}: out of order", (actual, "in place of", expected))
                return


def _by_partition(pairs: Iterable[tuple[int, Identity]]) -> dict[int, list[Identity]]:
    found: dict[int, list[Identity]] = {}
    for partition, identity in pairs:
        found.setdefault(partition, []).append(identity)
    return found
