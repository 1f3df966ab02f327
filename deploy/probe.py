"""The probe: one event of a project of its own, sent like any other and awaited as a row of ClickHouse."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import httpx2

from deploy.watched import PROBE_PROJECT

_AGAIN_S = 0.05
_ROUTE = f"/2026-02-01/directory-monitor/{PROBE_PROJECT}.json"
_COUNT = "SELECT count() FROM events WHERE project_id = {project:String} AND event_id = {id:String}"


class ProbeLost(Exception):
    """The event did not arrive; the message says how far it came."""


class Probe:
    """One event on its way from `api` to `clickhouse`, URLs both; the latter with user and password."""

    def __init__(self, api: str, key: str, clickhouse: str) -> None:
        self._api = api
        self._key = key
        self._clickhouse = httpx2.URL(clickhouse)
        self._id = f"probe-{secrets.token_hex(8)}"
        self._lacks = "the api does not answer"

    async def travel(self, timeout_s: float = 60) -> None:
        """Send the event and return when its row can be queried. Raises ProbeLost."""
        try:
            async with asyncio.timeout(timeout_s), httpx2.AsyncClient(timeout=10) as client:
                await _until(lambda: self._accepted(client))
                self._lacks = "the api accepted a probe event, but no row came of it"
                await _until(lambda: self._stored(client))
        except TimeoutError:
            raise ProbeLost(f"{self._lacks} (after {timeout_s:g} s)") from None

    async def _accepted(self, client: httpx2.AsyncClient) -> bool:
        event = {
            "projectId": PROBE_PROJECT,
            "eventId": self._id,
            "filename": "probe",
            "event": "probe",
            "filesize": 0,
        }
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            answer = await client.put(self._api + _ROUTE, json=event, headers=headers)
        except httpx2.TransportError:
            return False
        if answer.status_code not in (200, 429, 503):
            raise ProbeLost(f"the api refused a probe event: {answer.status_code} {answer.text}")
        self._lacks = f"the api does not accept a probe event: {answer.status_code} {answer.text}"
        return answer.status_code == 200

    async def _stored(self, client: httpx2.AsyncClient) -> bool:
        url = self._clickhouse.copy_with(path="/", username="", password="")
        query = {
            "query": _COUNT,
            "param_project": PROBE_PROJECT,
            "param_id": self._id,
            "database": self._clickhouse.path.strip("/") or "default",
        }
        user = (self._clickhouse.username, self._clickhouse.password)
        try:
            answer = await client.get(url, params=query, auth=user)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and int(answer.text) > 0


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    while not await done():  # noqa: ASYNC110 - it happens in another process
        await asyncio.sleep(_AGAIN_S)
