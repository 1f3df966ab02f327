"""Losses that normalize itself finds, as raw events: numbers that never came, offsets that expired, and two
installations that report as one agent.
"""

from __future__ import annotations

import hashlib

from agent.event import Event, Gap
from processors.watermarks import Hole, Rivals


def missing(hole: Hole, since_ns: int | None, until_ns: int) -> Event:
    """Return the gap that announces a hole in an agent's numbers, known since the event at `until_ns`."""
    gap = Gap(hole.gap, "sequence", since_ns=since_ns, until_ns=until_ns)
    return Event(kind="gap", path="", time_ns=until_ns, source="rescan", gap=gap)


def filled(gap: str, time_ns: int) -> Event:
    """Return the end of a gap: the last event that was missing has come."""
    return Event(kind="gap_closed", path="", time_ns=time_ns, source="rescan", gap=Gap(gap, "sequence"))


def contested(project: str, agent: str, rivals: Rivals) -> Event:
    """Return the gap of an agent whose journal was copied: what each copy saw cannot be told apart."""
    name = f"{project}\0{agent}\0{rivals.older}\0{rivals.newer}"
    gap = Gap("gap_" + _digest(name), "identity", since_ns=rivals.since_ns, until_ns=rivals.seen_ns)
    return Event(kind="gap", path="", time_ns=rivals.seen_ns, source="rescan", gap=gap)


def expired(project: str, partition: int, committed: int, oldest: int, now_ns: int, topic: str = "") -> Event:
    """Return the gap of a project whose records from `committed` up to `oldest` are gone.

    `topic` is left empty for the raw one.
    """
    name = "\0".join((project, str(partition), str(committed), str(oldest), *([topic] if topic else ())))
    gap = Gap("gap_" + _digest(name), "expired", until_ns=now_ns)
    return Event(kind="gap", path="", time_ns=now_ns, source="rescan", gap=gap)


def event_id(event: Event) -> str:
    """Return the id of an event made here: the same however often it is made."""
    gap = event.gap.id if event.gap is not None else ""
    return "evt_" + _digest(f"{event.kind}\0{gap}")


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
