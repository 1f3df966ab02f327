"""Hands commands of the file monitor to the sequencer, and reads what became of them.

A write that was answered is in this process's view, so that the next request sees it; a read asks the broker
first how far the topic goes, so that it sees what was written through any other process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError

from agent.event import Reply
from api.broker import Broker
from api.errors import BadRequest, Unavailable
from api.waiting import Identity, Late, Waiting
from processors import transfer_commands
from processors.instants import iso
from processors.transfer_commands import Asked
from processors.transfer_records import Answer, Transfers

C = TypeVar("C", bound=Asked)
_log = structlog.get_logger()


class Desk:
    """One for all requests of a process."""

    def __init__(
        self,
        broker: Broker,
        waiting: Waiting,
        *,
        timeout_ms: int,
        retry_after_s: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._broker = broker
        self._waiting = waiting
        self._timeout_s = timeout_ms / 1000
        self._retry_after_s = retry_after_s
        self._clock_ns = clock_ns
        self._asked = 0

    async def transfers(self) -> Transfers:
        """Return all transfers as they are now. Unavailable where the broker cannot be asked."""
        view = self._broker.transfers
        try:
            async with asyncio.timeout(self._timeout_s):
                await view.catch_up()
        except (TimeoutError, KafkaError) as error:
            raise self._unavailable("transfers cannot be read right now") from error
        return view.transfers

    async def decided(self, kind: type[C], key_id: str, **asked: Any) -> Answer:
        """Have a command decided; return what became of it. Unavailable, BadRequest where it is refused."""
        self._asked += 1
        # no request repeats another here: each is a decision of its own
        correlation_id, decided = self._waiting.expect(Identity("", "", f"transfer {self._asked}"))
        reply = Reply(correlation_id, self._broker.reply_partition)
        command = kind(command=correlation_id, at=iso(self._clock_ns()), reply=reply, key_id=key_id, **asked)
        try:
            await self._broker.command(transfer_commands.encode(command))
        except (KafkaError, OSError, TimeoutError) as error:
            self._waiting.fail(correlation_id, error)
            raise self._unavailable("not stored: the broker did not take it") from error
        try:
            answer = (await asyncio.shield(decided)).transfer
        except Late:
            _log.warning("a transfer command is not decided in time", check="`fswire processors` runs")
            raise self._unavailable("not decided in time: it may still be done") from None
        return await self._seen(answer or Answer("refused", error="no answer"))

    async def _seen(self, answer: Answer) -> Answer:
        if answer.result == "refused":
            raise BadRequest(answer.error or "refused")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._broker.transfers.reach(answer.offset)
        except TimeoutError:
            raise self._unavailable("done, but it cannot be shown yet") from None
        return answer

    def _unavailable(self, message: str) -> Unavailable:
        return Unavailable(message, code="transfers_unavailable", retry_after_s=self._retry_after_s)
