"""Looks keys and projects up in the registry, and asks it for its newest records before it refuses one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agent.paths import is_project_id
from api import auth, visit
from api.errors import NotFound, Unauthorized, Unavailable
from api.limits import Limits
from processors.registry import Key, Registry

_log = structlog.get_logger()


class Access:
    """Decides on every request, and notes who asks for what; one for all of them.

    A key or project that was written a moment ago is known: what the registry's view lacks is looked for once
    more after it caught up. At most one catching up is under way at a time, and requests share it.
    """

    def __init__(
        self,
        registry: Callable[[], Registry],
        limits: Limits,
        *,
        timeout_ms: int = 2_000,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._timeout_s = timeout_ms / 1000
        self._clock_ns = clock_ns
        self._told = False
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def authenticate(self, authorization: bytes | None) -> Key:
        """Return the key that a request carries.

        Unauthorized (401) if there is none that counts; TooManyRequests (429) if it asks too often, or if too
        much has been refused to its address.
        """
        peer = visit.current().peer
        try:
            key = await self._proven(auth.parse(authorization), peer)
        except Unauthorized:
            self._limits.refused(peer)
            raise
        self.admit(key)
        return key

    def admit(self, key: Key, requests: int = 1) -> None:
        """Let a key in that has been proven: note it, and count its request. TooManyRequests."""
        visit.current().key_id = key.id
        self._limits.spend(key.id, requests)

    async def key(self, key_id: str) -> Key:
        """Return a key by its id alone, for a session that it began; Unauthorized if it no longer counts."""
        registry = self._registry()
        if registry.key(key_id) is None:
            await self._catch_up(registry)
        return auth.check_counts(registry.key(key_id), self._clock_ns())

    async def permit(self, authorization: bytes | None, scope: str, project: str) -> Key:
        """Return the key of a request that may do this to the project; else 401, 403, 404, in this order."""
        visit.note(scope=scope, project=project)
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

    def ingress_token_hashes(self, project: str) -> list[str]:
        """Return the hashes of the project's ingress tokens that count now; none where it has none."""
        registered = self._registry().project(project)
        return registered.token_hashes(self._clock_ns()) if registered else []

    async def _proven(self, credentials: auth.Credentials, peer: str) -> Key:
        registry = self._registry()
        if registry.key(credentials.key_id) is None:
            self._limits.check(peer)
            await self._catch_up(registry)
        key = registry.key(credentials.key_id)
        if key is None:
            return auth.check_secret(None, credentials, self._clock_ns())
        visit.current().key_id = key.id
        with self._limits.guessing(f"{peer} {key.id}"):
            return auth.check_secret(key, credentials, self._clock_ns())

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
