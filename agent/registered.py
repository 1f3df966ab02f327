"""Which projects the registry knows, as far as an agent has to: read once at start, to warn and no more.

An unknown project is published all the same: its events wait in dead letters, to be replayed. The topic is
that of `processors.registry`, which the agent may not import: keys `project/ID` and `pattern/PATTERN`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from fnmatch import fnmatchcase

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings

_log = structlog.get_logger()
TOPIC = "registry"
_LONGEST_S = 3.0
_POLL_MS = 200


class Names:
    """Projects and patterns, from the registry's records in their order."""

    def __init__(self) -> None:
        self._projects: set[str] = set()
        self._patterns: set[str] = set()

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take the next record; one without a value deletes."""
        kind, _, name = (key or b"").decode(errors="replace").partition("/")
        names = {"project": self._projects, "pattern": self._patterns}.get(kind)
        if names is None:
            return
        if value:
            names.add(name)
        else:
            names.discard(name)

    def knows(self, project: str) -> bool:
        """Tell whether a project's events are taken: it is registered, or a pattern lets it be."""
        return project in self._projects or any(fnmatchcase(project, each) for each in self._patterns)


async def warn(kafka: KafkaSettings, projects: Collection[str]) -> None:
    """Log each project that the registry does not know; at most seconds are spent on finding out."""
    names = await read(kafka)
    if names is None:
        _log.info("registry_unreadable", topic=kafka.topic(TOPIC), unchecked=len(projects))
        return
    for project in projects:
        if not names.knows(project):
            _log.warning(
                "project_unknown",
                project=project,
                register=f"fswire project create {project}",
                until_then="its events are published, and wait in dead letters",
            )


async def read(kafka: KafkaSettings, longest_s: float = _LONGEST_S) -> Names | None:
    """Return what the registry holds now, None where that cannot be told in time."""
    try:
        async with asyncio.timeout(longest_s):
            return await _read(kafka)
    except (KafkaError, OSError, TimeoutError):
        return None


async def _read(kafka: KafkaSettings) -> Names:
    partition, names = TopicPartition(kafka.topic(TOPIC), 0), Names()
    consumer = AIOKafkaConsumer(**kafka.client(), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=_POLL_MS)).get(partition, ()):
                names.take(record.key, record.value)
    finally:
        await consumer.stop()
    return names
