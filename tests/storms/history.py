"""Holds what an agent reported against the ledger: what is missing outside of gaps, and what never was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from agent.event import Event
from tests.storms.ground import Operation

Step = tuple[str, str | None]
"""What happened to a path, and its new path if that was a rename."""
_VERBS = {"create": "create", "closeWrite": "write", "attribute": "attribute", "delete": "delete"}


def missing(operations: Sequence[Operation], events: Sequence[Event]) -> list[Operation]:
    """Return operations that no event tells, path by path in their order.

    Left out: what lies in an announced gap, and what happened in a directory too young to be watched.
    """
    told = _by_path((event.path, _step(event)) for event in events)
    gaps = list(_gaps(events))
    found = []
    for path, done in _operations(operations).items():
        expected = [each for each in done if not each.young and not _in_gap(each, gaps)]
        found += _left_over(expected, _merged(told.get(path, [])))
    return found


def invented(operations: Sequence[Operation], events: Sequence[Event]) -> list[Event]:
    """Return structural events that the kernel is said to have told and that no operation stands behind."""
    done = _by_path((each.path, (each.verb, each.to)) for each in operations)
    found = []
    for event in events:
        step = _step(event)
        if event.source != "kernel" or step is None or step[0] in ("write", "attribute"):
            continue
        steps = done.get(event.path, [])
        if step in steps:
            del steps[: steps.index(step) + 1]
        elif not event.path.startswith(SENTINEL):
            found.append(event)
    return found


def never_there(operations: Sequence[Operation], events: Sequence[Event]) -> set[str]:
    """Return paths that were reported and at which there was never anything."""
    existed = _Existed()
    for each in operations:
        existed.do(each)
    told = {path for event in events for path in (event.path, event.renamed_to) if path}
    return {path for path in told - existed.paths if not existed.came_in(path)}


def not_overwritten(events: Sequence[Event]) -> list[Event]:
    """Return deletions of a rename's target that do not stand right before their rename."""
    following = [*events[1:], None]
    return [
        event
        for event, after in zip(events, following, strict=True)
        if event.extra == "override" and not _takes_place(event.path, after)
    ]


SENTINEL = ".quiet-"
"""Names of files by which a storm finds out how far a watcher has come begin with this."""


class _Existed:
    """The paths that there were, from the ledger; what came from outside is known by its top alone."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._now: dict[str, set[str]] = defaultdict(set)
        self._came_in: set[str] = set()

    def do(self, operation: Operation) -> None:
        path = operation.path
        if operation.verb in ("create", "in"):
            self._add(path)
            if operation.verb == "in":
                self._came_in.add(path)
        elif operation.verb in ("delete", "out"):
            self._drop(path)
        elif operation.verb == "rename" and operation.to:
            self._rename(path, operation.to)

    def came_in(self, path: str) -> bool:
        """Tell whether a path lies below what was moved in, whatever it was called since."""
        return path.startswith(SENTINEL) or any(
            path[:cut] in self._came_in for cut in range(len(path)) if path[cut] == "/"
        )

    def _add(self, path: str) -> None:
        self.paths.add(path)
        above, _, name = path.rpartition("/")
        self._now[above].add(name)

    def _drop(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        self._now[above].discard(name)

    def _rename(self, old: str, new: str) -> None:
        self._drop(old)
        self._add(new)
        if old in self._came_in:
            self._came_in.add(new)
        for name in sorted(self._now.pop(old, ())):
            self._rename(f"{old}/{name}", f"{new}/{name}")


def _takes_place(path: str, event: Event | None) -> bool:
    if event is None or event.kind != "rename":
        return False
    return path == (event.path if event.moved == "in" else event.renamed_to)


def _step(event: Event) -> Step | None:
    if event.kind == "rename":
        return ("rename", event.renamed_to) if event.moved == "within" else (event.moved or "", None)
    verb = _VERBS.get(event.kind)
    return (verb, None) if verb else None


def _by_path(steps: Iterable[tuple[str, Step | None]]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = defaultdict(list)
    for path, step in steps:
        if step is not None:
            found[path].append(step)
    return found


def _operations(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for each in operations:
        found[each.path].append(each)
    return found


def _left_over(expected: Sequence[Operation], told: Sequence[Step]) -> list[Operation]:
    """Return what is not matched, both read in order; equal changes of attributes in a row are one."""
    at, left = 0, []
    before: Step | None = None
    for each in expected:
        step = (each.verb, each.to)
        if step == before and step[0] == "attribute":
            continue
        try:
            at = told.index(step, at) + 1
        except ValueError:
            left.append(each)
        else:
            before = step
    return left


def _merged(steps: Sequence[Step]) -> list[Step]:
    return [
        step
        for step, before in zip(steps, [None, *steps], strict=False)
        if step != before or step[0] != "attribute"
    ]


def _gaps(events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """Yield from when to when each gap is open: while its rescan runs, changes are told as it finds them."""
    closed_ns = {event.gap.id: event.time_ns for event in events if event.kind == "gap_closed" and event.gap}
    for event in events:
        if event.kind == "gap" and event.gap:
            yield event.gap.since_ns or 0, closed_ns.get(event.gap.id, 2**63)


def _in_gap(operation: Operation, gaps: Sequence[tuple[int, int]]) -> bool:
    return any(operation.ended_ns >= since and operation.began_ns <= until for since, until in gaps)
