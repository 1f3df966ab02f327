"""What a worker counts; served as `/metrics` on its web port."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("fswire_normalize_events", "Raw events decided, repeats among them")
REPEATS = Counter("fswire_normalize_repeats", "Raw events dropped because they had been taken before")
DEAD_LETTERS = Counter("fswire_normalize_dead_letters", "Raw records or events parked in dead-letters")
REDONE = Counter("fswire_normalize_chunks_redone", "Chunks made again because the broker did not take them")
CHUNK_SECONDS = Histogram(
    "fswire_normalize_chunk_seconds",
    "From a chunk's first byte decoded to its offset committed",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
EVENT_ID_HORIZON_SECONDS = Gauge(
    "fswire_normalize_event_id_horizon_seconds", "Age of the oldest eventId remembered", ["partition"]
)
AGENT_LAST_SEEN_SECONDS = Gauge(
    "fswire_agent_last_seen_timestamp_seconds",
    "When an agent's last heartbeat was taken",
    ["agent", "project"],
)


def _of_heartbeats(name: str, text: str) -> Gauge:
    return Gauge(f"fswire_heartbeat_{name}", f"In an agent's last heartbeat: {text}", ["agent", "project"])


HEARTBEAT_GAUGES = (
    _of_heartbeats("lag_seconds", "from sending to the broker, by the clocks of both"),
    _of_heartbeats("last_seq", "number of the last event sent before"),
    _of_heartbeats("journal_events", "events that the broker had not acknowledged"),
    _of_heartbeats("journal_bytes", "size of the journal on disk"),
    _of_heartbeats("directories", "directories of the tree"),
    _of_heartbeats("watched_directories", "those whose changes the kernel tells"),
    _of_heartbeats("polled_directories", "those that are listed from time to time"),
    _of_heartbeats("open_gaps", "gaps that no rescan has closed yet"),
)
HEARTBEAT_INFO = Gauge(
    "fswire_heartbeat_info",
    "How an agent watches, and where; always 1",
    ["agent", "project", "host", "backend", "folded"],
)
