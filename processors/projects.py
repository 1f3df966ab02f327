"""Which projects' events are taken: registered ones, and those that a pattern lets register themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from agent.kafka import KafkaSettings
from processors.registry import Registry, registered_now, write

_CATCH_UP_TIMEOUT_S = 10.0
_REFUSED_FOR_S = 1.0
"""A project that was refused is looked for again after this long, or once the registry's view shows it."""

_log = structlog.get_logger()


class Projects:
    """Decides for all partitions of a worker."""

    def __init__(self, kafka: KafkaSettings, registry: Registry) -> None:
        self._kafka = kafka
        self._registry = registry
        self._refused_until: dict[str, float] = {}

    async def refused(self, projects: Iterable[str]) -> frozenset[str]:
        """Return those whose events go to dead letters. Raises KafkaError and TimeoutError.

        One that the view lacks is looked for in the registry's newest records, then registered if a pattern
        allows it.
        """
        unknown = {project for project in projects if self._registry.project(project) is None}
        if unknown - self._lately_refused():
            async with asyncio.timeout(_CATCH_UP_TIMEOUT_S):
                await self._registry.catch_up()
                await self._register(unknown)
        refused = frozenset(project for project in unknown if self._registry.project(project) is None)
        self._refused_until |= dict.fromkeys(refused, time.monotonic() + _REFUSED_FOR_S)
        return refused

    def _lately_refused(self) -> set[str]:
        now = time.monotonic()
        self._refused_until = {name: until for name, until in self._refused_until.items() if until > now}
        return set(self._refused_until)

    async def _register(self, projects: set[str]) -> None:
        new = [
            registered_now(project)
            for project in sorted(projects)
            if self._registry.project(project) is None and self._registry.allowed(project)
        ]
        if new:
            await write(self._kafka, *new)
            await self._registry.catch_up()
            _log.info("projects registered on first sight", projects=[project.id for project in new])
