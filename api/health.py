"""Whether this process lives, and whether what it stands on answers: broker, registry, outcomes, database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.database import Database
from api.errors import ApiError, Detail, Unavailable

TIMEOUT_S = 2.0


class _One(msgspec.Struct):
    one: int


class Health:
    """The two endpoints."""

    def __init__(self, broker_state: Callable[[], Awaitable[dict[str, str]]], database: Database) -> None:
        self._broker_state = broker_state
        self._database = database

    async def live(self, _: Request) -> Response:
        """Answer `GET /health/live`: this process handles requests."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Answer `GET /health/ready`: each part by name, `ok` or what is wrong; 503 unless all are ok."""
        broker, database = await asyncio.gather(self._broker(), self._database_state())
        parts = broker | {"database": database}
        wrong = {part: state for part, state in parts.items() if state != "ok"}
        if wrong:
            error = Unavailable("not ready: " + ", ".join(wrong), code="not_ready", more={"parts": parts})
            error.details = [Detail(part, state) for part, state in wrong.items()]
            raise error
        return JSONResponse({"status": "ok", "parts": parts})

    async def _broker(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._broker_state()
        except TimeoutError:
            return dict.fromkeys(("broker", "registry", "outcomes"), "does not answer in time")

    async def _database_state(self) -> str:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._database.rows("SELECT 1 AS one", {}, _One, {"max_execution_time": TIMEOUT_S})
        except TimeoutError:
            return "does not answer in time"
        except ApiError as error:
            return error.message
        return "ok"
