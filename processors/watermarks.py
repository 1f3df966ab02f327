"""What has been taken of each agent's numbered events, so that a repeat is dropped and a loss is seen.

In flow the numbers of a run of events (epoch, first, how many); out flows which are new, which are late
because they fill a hole, which holes opened, and whether two installations report as one agent. Pure; in
whatever order runs arrive, and however often, every number is taken once.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

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
    begun_ns: int | None = None
    """When its first batch that came was sent."""
    rival: str = ""
    """The newer epoch beside which this one was found to go on: that is announced once."""


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
    sent_ns: int | None = None


class Opened(NamedTuple):
    """A hole that this run made known, and when the last event before it happened."""

    epoch: str
    hole: Hole
    since_ns: int | None


class Rivals(NamedTuple):
    """Two epochs of one agent that go on side by side: its journal was copied, and both copies report."""

    older: str
    newer: str
    since_ns: int
    """When the newer one began."""
    seen_ns: int
    """When the older one sent what shows that it goes on."""


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
    rivals: Rivals | None = None


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
        epochs, index = _entered(project, agent, epochs, run, opened)
    epoch, late = _filled(epochs[index], run)
    epoch = _jumped(project, agent, epoch, run.first_seq - 1, opened)
    first_new = min(max(epoch.next - run.first_seq, 0), run.events)
    rivals = None
    if first_new < run.events:
        rivals = _rivals(epoch, epochs[-1], run)
        epoch = _advanced(replace(epoch, rival=rivals.newer) if rivals else epoch, run)
    epochs = (*epochs[:index], epoch, *epochs[index + 1 :])
    kept, given_up = _bounded(epochs)
    return Admission(Marks(now_ms, kept), first_new, late, tuple(opened), given_up, rivals)


def punch(project: str, agent: str, marks: Marks, epoch: str, seq: int) -> tuple[Marks, Hole]:
    """Take one event back out, because it could not be used: it is a hole again, which a replay may fill."""
    hole = Hole(seq, seq, gap_id(project, agent, epoch, seq))
    epochs = tuple(
        replace(each, holes=tuple(sorted((*each.holes, hole), key=lambda hole: hole.first)))
        if each.id == epoch
        else each
        for each in marks.epochs
    )
    return replace(marks, epochs=_bounded(epochs)[0]), hole


def is_open(marks: Marks, gap: str) -> bool:
    """Tell whether a hole of a gap is still to be filled."""
    return any(hole.gap == gap for epoch in marks.epochs for hole in epoch.holes)


def _advanced(epoch: Epoch, run: Run) -> Epoch:
    begun_ns = epoch.begun_ns if epoch.begun_ns is not None else run.sent_ns
    last_ns = run.last_ns or epoch.last_ns
    return replace(epoch, next=run.first_seq + run.events, last_ns=last_ns, begun_ns=begun_ns)


def _entered(
    project: str, agent: str, epochs: tuple[Epoch, ...], run: Run, opened: list[Opened]
) -> tuple[tuple[Epoch, ...], int]:
    """Add an epoch that was not known, and return where it stands.

    It is the newest, unless it was sent before that one began: then it is an older one, replayed.
    """
    newest = len(epochs) - 1
    start = run.first_seq if run.previous else min(run.first_seq, FIRST_SEQ)
    fresh = Epoch(run.epoch, start, begun_ns=run.sent_ns)
    ended = _with_tail(project, agent, epochs, run.previous, opened)
    if epochs and _precedes(run, epochs[newest]):
        added = (*ended[:newest], *ended[newest + 1 :], fresh, ended[newest])
    else:
        added = (*ended, fresh)
    kept = added[-EPOCHS_KEPT:]
    return kept, kept.index(fresh)


def _precedes(run: Run, newest: Epoch) -> bool:
    """Tell whether a run was sent before an epoch began. One that names it as the epoch before was not."""
    if run.previous is not None and run.previous.epoch == newest.id:
        return False
    return run.sent_ns is not None and newest.begun_ns is not None and run.sent_ns < newest.begun_ns


def _rivals(epoch: Epoch, newest: Epoch, run: Run) -> Rivals | None:
    """Tell whether an epoch goes on beside a newer one, by what it brings that is no late filling.

    What was sent before the newer one began proves nothing: it was on its way, or in a dead letter.
    """
    if epoch.id == newest.id or epoch.rival == newest.id:
        return None
    if run.sent_ns is None or newest.begun_ns is None or run.sent_ns <= newest.begun_ns:
        return None
    return Rivals(epoch.id, newest.id, newest.begun_ns, run.sent_ns)


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
    return replace(epoch, next=last + 1, holes=(*epoch.holes, hole))


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
    return replace(epoch, holes=tuple(left)), late


def _bounded(epochs: tuple[Epoch, ...]) -> tuple[tuple[Epoch, ...], int]:
    excess = sum(len(epoch.holes) for epoch in epochs) - HOLES_KEPT
    if excess <= 0:
        return epochs, 0
    kept: list[Epoch] = []
    drop = excess
    for epoch in epochs:
        here = min(drop, len(epoch.holes))
        drop -= here
        kept.append(replace(epoch, holes=epoch.holes[here:]))
    return tuple(kept), excess
