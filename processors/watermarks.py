"""What has been taken of each agent's numbered events, so that a repeat is dropped and a loss is seen.

In flow the numbers of a run of events (epoch, first, how many); out flows which are new, which are late
because they fill a hole, and which holes opened. Pure; in whatever order runs arrive, and however often,
every number is taken once.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from agent.event import Previous

FIRST_SEQ = 1
"""Number of an epoch's first event: what is missing below the first batch that came of it is a hole."""
EPOCHS_KEPT = 8
HOLES_KEPT = 1_000
"""Per agent and project. Past it the oldest is given up: its gap stays open, what fills it is dropped."""


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """Numbers that never came, both ends included, and the id of the gap that announced them."""

    first: int
    last: int
    gap: str


class Epoch(msgspec.Struct, frozen=True, array_like=True):
    """What was taken of one epoch: all below `next` but the holes."""

    id: str
    next: int
    last_ns: int | None = None
    """When the last event that was taken happened."""
    holes: tuple[Hole, ...] = ()


class Marks(msgspec.Struct, frozen=True, array_like=True):
    """What was taken of one agent in one project, the newest epoch last."""

    seen_ms: int
    epochs: tuple[Epoch, ...] = ()


class Run(NamedTuple):
    """Consecutive events of one batch; `previous` as the batch says it."""

    epoch: str
    first_seq: int
    events: int
    last_ns: int | None
    previous: Previous | None = None


class Opened(NamedTuple):
    """A hole that this run made known, and when the last event before it happened."""

    epoch: str
    hole: Hole
    since_ns: int | None


class Admission(NamedTuple):
    """What to do with a run: `late` and `closed` are keyed by the event's index in it."""

    marks: Marks
    first_new: int
    """Index of the first event at or above the watermark; all from here on are new."""
    late: dict[int, tuple[str, ...]]
    """Indexes below `first_new` that fill a hole, with the gaps that they close."""
    opened: tuple[Opened, ...]
    given_up: int
    """Holes forgotten because there were too many."""


def gap_id(project: str, agent: str, epoch: str, first: int) -> str:
    """Return the id of the gap that announces a hole: the same whenever the hole is found again."""
    name = f"{project}\0{agent}\0{epoch}\0{first}".encode()
    return "gap_" + hashlib.blake2b(name, digest_size=16).hexdigest()


def admit(project: str, agent: str, marks: Marks | None, run: Run, now_ms: int) -> Admission:
    """Decide on a run of events and return the marks that hold once they are taken."""
    epochs = marks.epochs if marks is not None else ()
    if epochs and epochs[-1].id == run.epoch and epochs[-1].next == run.first_seq:
        newest = _advanced(epochs[-1], run)
        return Admission(Marks(now_ms, (*epochs[:-1], newest)), 0, {}, (), 0)
    opened: list[Opened] = []
    index = next((index for index, each in enumerate(epochs) if each.id == run.epoch), None)
    if index is None:
        epochs = _with_tail(project, agent, epochs, run.previous, opened)
        start = run.first_seq if run.previous else min(run.first_seq, FIRST_SEQ)
        epochs = (*epochs, Epoch(run.epoch, start))[-EPOCHS_KEPT:]
        index = len(epochs) - 1
    epoch, late = _filled(epochs[index], run)
    epoch = _jumped(project, agent, epoch, run.first_seq - 1, opened)
    first_new = min(max(epoch.next - run.first_seq, 0), run.events)
    if first_new < run.events:
        epoch = _advanced(epoch, run)
    epochs = (*epochs[:index], epoch, *epochs[index + 1 :])
    kept, given_up = _bounded(epochs)
    return Admission(Marks(now_ms, kept), first_new, late, tuple(opened), given_up)


def punch(project: str, agent: str, marks: Marks, epoch: str, seq: int) -> tuple[Marks, Hole]:
    """Take one event back out, because it could not be used: it is a hole again, which a replay may fill."""
    hole = Hole(seq, seq, gap_id(project, agent, epoch, seq))
    epochs = tuple(
        Epoch(
            each.id, each.next, each.last_ns, tuple(sorted((*each.holes, hole), key=lambda hole: hole.first))
        )
        if each.id == epoch
        else each
        for each in marks.epochs
    )
    return Marks(marks.seen_ms, _bounded(epochs)[0]), hole


def _advanced(epoch: Epoch, run: Run) -> Epoch:
    return Epoch(epoch.id, run.first_seq + run.events, run.last_ns or epoch.last_ns, epoch.holes)


def _with_tail(
    project: str, agent: str, epochs: tuple[Epoch, ...], previous: Previous | None, opened: list[Opened]
) -> tuple[Epoch, ...]:
    """Open a hole where the epoch before ended earlier than the agent says; one never seen is all hole."""
    if previous is None or not epochs:
        return epochs
    for index, each in enumerate(epochs):
        if each.id == previous.epoch:
            ended = _jumped(project, agent, each, previous.last_seq, opened)
            return (*epochs[:index], ended, *epochs[index + 1 :])
    unseen = Epoch(previous.epoch, FIRST_SEQ, epochs[-1].last_ns)
    return (*epochs, _jumped(project, agent, unseen, previous.last_seq, opened))


def _jumped(project: str, agent: str, epoch: Epoch, last: int, opened: list[Opened]) -> Epoch:
    """Note as missing all from the watermark to `last`; above it already, nothing changes."""
    if last < epoch.next:
        return epoch
    hole = Hole(epoch.next, last, gap_id(project, agent, epoch.id, epoch.next))
    opened.append(Opened(epoch.id, hole, epoch.last_ns))
    return Epoch(epoch.id, last + 1, epoch.last_ns, (*epoch.holes, hole))


def _filled(epoch: Epoch, run: Run) -> tuple[Epoch, dict[int, tuple[str, ...]]]:
    """Take out of the epoch's holes what the run brings."""
    low, high = run.first_seq, run.first_seq + run.events - 1
    late: dict[int, tuple[str, ...]] = {}
    left: list[Hole] = []
    last_of_gap: dict[str, int] = {}
    for hole in epoch.holes:
        first, last = max(hole.first, low), min(hole.last, high)
        if first > last:
            left.append(hole)
            continue
        late.update((seq - low, ()) for seq in range(first, last + 1))
        last_of_gap[hole.gap] = last - low
        if hole.first < first:
            left.append(Hole(hole.first, first - 1, hole.gap))
        if last < hole.last:
            left.append(Hole(last + 1, hole.last, hole.gap))
    if not late:
        return epoch, late
    still_open = {hole.gap for hole in left}
    for gap, index in last_of_gap.items():
        if gap not in still_open:
            late[index] = (*late[index], gap)
    return Epoch(epoch.id, epoch.next, epoch.last_ns, tuple(left)), late


def _bounded(epochs: tuple[Epoch, ...]) -> tuple[tuple[Epoch, ...], int]:
    excess = sum(len(epoch.holes) for epoch in epochs) - HOLES_KEPT
    if excess <= 0:
        return epochs, 0
    kept: list[Epoch] = []
    drop = excess
    for epoch in epochs:
        here = min(drop, len(epoch.holes))
        drop -= here
        kept.append(Epoch(epoch.id, epoch.next, epoch.last_ns, epoch.holes[here:]))
    return tuple(kept), excess
