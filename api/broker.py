"""Everything of the api that hangs on the broker: the registry, the publisher, the follower of outcomes.

The api serves without it: `run` connects, again and again with back-off, and until then `Unavailable` is
raised. Once connected, the clients mend lost connections by themselves.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import structlog

from agent.kafka import KafkaSettings
from api.errors import Unavailable
from api.outcomes import Follower
from api.publisher import Publisher
from processors import topics
from processors.outcomes import Outcome
from processors.registry import Registry
from processors.transfer_view import View

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_log = structlog.get_logger()


class Broker:
    """The connection of one api process."""

    def __init__(self, kafka: KafkaSettings, resolve: Callable[[Outcome], None]) -> None:
        self._kafka = kafka
        self._resolve = resolve
        self._links: tuple[Registry, Publisher, Follower] | None = None
        self._transfers = View(kafka)
        self._auditor = Publisher(kafka)
        """One of its own: what becomes of the audit is nothing to those who wait for their events."""
        self.reply_partition = 0
        """Where this process awaits outcomes."""

    @property
    def registry(self) -> Registry:
        """The registry's view; Unavailable before the first connection."""
        return self._connected()[0]

    @property
    def connected(self) -> bool:
        """Tell whether the first connection was made."""
        return self._links is not None

    async def send(self, project: str, batch: bytes) -> None:
        """Send a batch to `fswire.raw`; any exception means that it is not acknowledged."""
        await self._connected()[1].send(project, batch)

    @property
    def transfers(self) -> View:
        """All transfers; Unavailable before the first connection."""
        self._connected()
        return self._transfers

    async def command(self, record: bytes) -> None:
        """Send a command of the file monitor; any exception means that it is not acknowledged."""
        await self._connected()[1].append(topics.TRANSFER_COMMANDS, [record])

    async def audit(self, records: Sequence[bytes]) -> None:
        """Send records to `fswire.audit`; any exception means that some may not be acknowledged."""
        self._connected()
        await self._auditor.append(topics.AUDIT, records)

    async def run(self) -> None:
        """Connect and stay connected until cancelled."""
        async with AsyncExitStack() as stack:
            await self._connect_at_last(stack)
            await asyncio.Event().wait()

    async def state(self) -> dict[str, str]:
        """Return what is wrong with `broker`, `registry` and `outcomes`: for each `ok`, or a reason."""
        if self._links is None:
            return dict.fromkeys(("broker", "registry", "outcomes"), "not connected yet")
        registry, publisher, follower = self._links
        reachable, caught_up = await asyncio.gather(
            publisher.reachable(), registry.catch_up(), return_exceptions=True
        )
        return {
            "broker": "ok" if reachable is True else "does not answer",
            "registry": "ok" if caught_up is None else "cannot be read",
            "outcomes": "ok" if follower.following else "cannot be read",
        }

    def _connected(self) -> tuple[Registry, Publisher, Follower]:
        if self._links is None:
            raise Unavailable("the broker is not reachable", code="broker_unavailable")
        return self._links

    async def _connect_at_last(self, stack: AsyncExitStack) -> None:
        attempt = 0
        while self._links is None:
            try:
                await self._connect(stack)
            except Exception as error:  # noqa: BLE001  whatever it was, the answer is to try again
                if attempt == 0:
                    self._tell(error)
                await stack.aclose()
                await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                attempt += 1
        _log.info("connected", broker=self._kafka.bootstrap_servers, reply_partition=self.reply_partition)

    async def _connect(self, stack: AsyncExitStack) -> None:
        publisher = Publisher(self._kafka)
        stack.push_async_callback(publisher.stop)
        await publisher.start()
        self.reply_partition = secrets.randbelow(await publisher.partitions(topics.OUTCOMES))
        stack.push_async_callback(self._auditor.stop)
        await self._auditor.start()
        registry = Registry(self._kafka)
        await registry.start()
        stack.push_async_callback(registry.stop)
        follower = Follower(self._kafka, self.reply_partition, self._resolve)
        await follower.start()
        stack.push_async_callback(follower.stop)
        self._transfers = View(self._kafka)
        await self._transfers.start()
        stack.push_async_callback(self._transfers.stop)
        self._links = (registry, publisher, follower)

    def _tell(self, error: Exception) -> None:
        _log.warning(
            "broker not reachable, trying again",
            broker=self._kafka.bootstrap_servers,
            error=repr(error),
            check="Kafka runs there, FSWIRE_KAFKA_BOOTSTRAP_SERVERS is right, `fswire topics apply` was run",
        )
