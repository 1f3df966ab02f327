"""Looks keys and projects up in the registry, and asks it for its newest records before it refuses one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agent.paths import is_project_id
from api import auth
from api.errors import NotFound, Unavailable
from processors.registry import Key, Registry

_log = structlog.get_logger()


class Access:
    """Decides on every request; one for all of them.

    A key or project that was written a moment ago is known: what the registry's view lacks is looked for once
    more after it caught up. At most one catching up is under way at a time, and requests share it.
    """

    def __init__(
        self,
        registry: Callable[[], Registry],
        *,
        timeout_ms: int = 2_000,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._registry = registry
        self._timeout_s = timeout_ms / 1000
        self._clock_ns = clock_ns
        self._told = False
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def authenticate(self, authorization: bytes | None) -> Key:
        """Return the key that a request carries; Unauthorized (401) if there is none that counts."""
        credentials = auth.parse(authorization)
        registry = self._registry()
        if registry.key(credentials.key_id) is None:
            await self._catch_up(registry)
        return auth.check_secret(registry.key(credentials.key_id), credentials, self._clock_ns())

    async def permit(self, authorization: bytes | None, scope: str, project: str) -> Key:
        """Return the key of a request that may do this to the project; else 401, 403, 404, in this order."""
        key = await self.authenticate(authorization)
        auth.check_scope(key, scope)
        auth.check_project(key, project)
        await self.require_project(project)
        return key

    async def require_project(self, project: str) -> None:
        """Raise NotFound unless the project is registered, or allowed by a registered pattern."""
        registry = self._registry()
        if is_project_id(project) and not registry.allowed(project):
            await self._catch_up(registry)
        if not is_project_id(project) or not registry.allowed(project):
            raise NotFound("no such project", code="unknown_project")

    def ingress_token_hash(self, project: str) -> str | None:
        """Return the hash of the project's ingress token, None where it has none."""
        registered = self._registry().project(project)
        return registered.ingress_token_hash if registered else None

    async def _catch_up(self, registry: Registry) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(self._shared(registry))
                self._told = False
        except Exception as error:  # noqa: BLE001  whatever it was, a key that is not in view cannot be refused
            if not self._told:
                _log.warning("registry did not catch up: is the broker there?", error=repr(error))
            self._told = True
            raise Unavailable(
                "keys and projects cannot be looked up right now", code="registry_unavailable"
            ) from None

    def _shared(self, registry: Registry) -> asyncio.Task[None]:
        """One that is under way may have looked before this request's key was written: join the one after."""
        if self._running is None or self._running.done():
            self._running, self._next = _task(registry.catch_up()), None
            return self._running
        if self._next is None:
            self._next = _task(self._after(self._running, registry))
        return self._next

    async def _after(self, running: asyncio.Task[None], registry: Registry) -> None:
        await asyncio.wait([running])
        self._running, self._next = self._next, None
        await registry.catch_up()


def _task(catching_up: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(catching_up)
    # Whoever waited for it may have given up: its failure is still somebody's who looked at it.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
