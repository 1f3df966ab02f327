"""What an agent counts and measures, per project; served as `/metrics` where `listen` says so.

Counted per batch, round or commit on the hot path, never per event: an increment costs a microsecond. Log
lines that were left out are counted in `agent.log_limit`: every part of fswire logs.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge

EVENTS = Counter("fswire_agent_events", "Events put into the journal", ["project"])
PUBLISHED = Counter("fswire_agent_published_events", "Events that the broker has acknowledged", ["project"])
DROPPED = Counter("fswire_agent_dropped", "What was seen and not reported, by reason", ["project", "reason"])
GAPS = Counter("fswire_agent_gaps", "Gaps announced, by reason", ["project", "reason"])
RESCANS = Counter("fswire_agent_rescans", "Scans of the whole tree that were completed", ["project"])
HASHED_BYTES = Counter("fswire_agent_hashed_bytes", "Bytes read to hash content", ["project"])
HASHES_WAITING = Gauge(
    "fswire_agent_hashes_waiting", "Files whose content is still to be hashed", ["project"]
)
DIRECTORIES = Gauge("fswire_agent_directories", "Directories of the tree", ["project"])
WATCHED = Gauge("fswire_agent_watched_directories", "Those whose changes the kernel tells", ["project"])
POLLED = Gauge("fswire_agent_polled_directories", "Those that are listed from time to time", ["project"])
JOURNAL_EVENTS = Gauge(
    "fswire_agent_journal_events", "Events that the broker has not acknowledged yet", ["project"]
)
JOURNAL_BYTES = Gauge("fswire_agent_journal_bytes", "Size of the journal on disk", ["project"])
OPEN_GAPS = Gauge("fswire_agent_open_gaps", "Gaps that no rescan has closed yet", ["project"])

_GAUGES = (HASHES_WAITING, DIRECTORIES, WATCHED, POLLED, JOURNAL_EVENTS, JOURNAL_BYTES, OPEN_GAPS)


def forget(project: str) -> None:
    """Measure a project no more, which is not watched any longer; what was counted stays."""
    for gauge in _GAUGES:
        gauge.remove(project)
