"""Every topic of fswire: name, key, partitions, clean-up. Names here are without the prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

RAW = "raw"
DONUTWORK = "donutwork"
WATCH = "watch"
NOTIFY = "notify"
FILES = "files"
STATE = "state"
REGISTRY = "registry"
AGENTS = "agents"
OUTCOMES = "outcomes"
RUNS = "runs"
TRANSFER_COMMANDS = "transfer-commands"
TRANSFERS = "transfers"
DEAD_LETTERS = "dead-letters"
AUDIT = "audit"

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
TOMBSTONES_KEPT_S = 7 * 24 * 3600
"""How long a deletion in the files topic can still be read."""
CLAIM_KEY = b"_owner\0"
"""Key of the tombstone by which a partition's new owner fences those before; no project is called so."""


@dataclass(frozen=True)
class Topic:
    """A topic as `fswire topics apply` makes and checks it; `partitions` None: the setting's count."""

    name: str
    partitions: int | None = None
    config: dict[str, str] = field(default_factory=dict)


def _delete(retention_ms: int, **more: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)} | more


_COMPACT = {"cleanup.policy": "compact"}
_READ_WHOLE = _COMPACT | {"segment.bytes": str(64 * 1024 * 1024), "segment.ms": str(_HOUR_MS)}
"""Read from its beginning at every recovery: only closed segments are compacted, so they are kept small."""

_RUNS = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(30 * _DAY_MS),
    "min.compaction.lag.ms": str(_DAY_MS),
}
"""A run that is queued again, by a chunk that was made again, must not outlive the states it had reached."""

_TRANSFERS = _READ_WHOLE | {
    "min.compaction.lag.ms": str(_DAY_MS),
    "delete.retention.ms": str(TOMBSTONES_KEPT_S * 1000),
}
"""Every state is a row of the history, and a deletion is work for the host that holds the file: both must be
there for a while."""

ALL = (
    Topic(RAW, config=_delete(7 * _DAY_MS) | {"message.timestamp.type": "LogAppendTime"}),
    Topic(DONUTWORK, config=_delete(7 * _DAY_MS)),
    Topic(WATCH, config=_delete(7 * _DAY_MS)),
    Topic(NOTIFY, config=_delete(7 * _DAY_MS)),
    Topic(FILES, config=_COMPACT | {"delete.retention.ms": str(TOMBSTONES_KEPT_S * 1000)}),
    Topic(STATE, config=_READ_WHOLE),
    Topic(REGISTRY, partitions=1, config=_COMPACT),
    Topic(AGENTS, config=_COMPACT),
    Topic(OUTCOMES, config=_delete(_HOUR_MS, **{"segment.ms": str(_HOUR_MS)})),
    Topic(RUNS, config=_RUNS),
    Topic(TRANSFER_COMMANDS, partitions=1, config=_delete(7 * _DAY_MS)),
    Topic(TRANSFERS, partitions=1, config=_TRANSFERS),
    Topic(DEAD_LETTERS, config=_delete(30 * _DAY_MS)),
    Topic(AUDIT, partitions=1, config=_delete(30 * _DAY_MS)),
)
