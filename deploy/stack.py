"""The local stack on its way up and down: which part waits for which.

In flows a plan; out flow running parts under a supervisor and, once a probe event has become a row,
`endpoint.json`. Broker and store start side by side; what needs only one of them does not wait for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from agent.kafka import KafkaSettings
from deploy import data_dir, endpoint, kafka_jars, parts, ports, schema
from deploy.broker import Broker
from deploy.display import Display
from deploy.part import Spec
from deploy.parts import Addresses
from deploy.probe import Probe
from deploy.registration import register
from deploy.supervisor import Supervisor
from deploy.watched import PROBE_PROJECT, Watched
from processors import topics, topics_apply

_PARTITIONS = 4
_PORTS = ("broker", "controller", "store", "processors")


class PortTaken(Exception):
    """The api's port cannot be had; the message names it."""


@dataclass(frozen=True)
class Plan:
    """What one `fswire up` is asked for, checked."""

    data_dir: Path
    watched: list[Watched]
    port: int = 8080
    """0: a free one."""
    tls_port: int | None = None
    """The same with TLS; None: not at all."""
    kinds: str | None = None
    clickhouse: str | None = None
    """URL of a server that is there already: no store is started."""
    bootstrap_servers: str | None = None
    """Of a cluster that is there already: no broker is started."""


class Stack:
    """The parts of one plan. `rise`, then `fall`."""

    def __init__(self, plan: Plan, supervisor: Supervisor, display: Display) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._display = display
        self._memory = data_dir.recall(plan.data_dir)
        self._given_up = threading.Event()
        self.at = self._settle()

    async def rise(self) -> None:
        """Start everything; return when a probe event has travelled from end to end."""
        endpoint.remove(self._plan.data_dir)
        broker = asyncio.create_task(self._broker())
        store = asyncio.create_task(self._store())
        await _all(
            broker,
            store,
            self._after(parts.processors(self.at), broker),
            self._after(parts.sink(self.at), broker, store),
            self._after(parts.api(self.at, self._memory.session_secret), broker),
            self._after(parts.transfers(self.at), broker),
            *(
                self._after(parts.agent(self.at, watched, self._plan.kinds), broker)
                for watched in self._plan.watched
            ),
        )
        await Probe(self.at.api, await broker, self.at.clickhouse).travel()
        self._publish(await broker)

    async def fall(self) -> None:
        """Stop everything, what writes before what is written to."""
        self._given_up.set()
        endpoint.remove(self._plan.data_dir)
        agents = [name for name in self._supervisor.running if name not in parts.STOP_ORDER]
        await self._supervisor.stop(*agents)
        for name in parts.STOP_ORDER:
            await self._supervisor.stop(name)

    def _settle(self) -> Addresses:
        """Choose the ports, the former ones where they are free, and remember them."""
        plan, memory = self._plan, self._memory
        taken: set[int] = set()
        api = self._asked_or_free("api", "--port", plan.port, taken)
        tls = (
            None
            if plan.tls_port is None
            else self._asked_or_free("tls_api", "--tls-port", plan.tls_port, taken)
        )
        chosen = {name: ports.keep_or_pick(memory.ports.get(name), taken) for name in _PORTS}
        memory.ports = memory.ports | chosen | {"api": api} | ({} if tls is None else {"tls_api": tls})
        data_dir.keep(plan.data_dir, memory)
        return Addresses(
            data_dir=plan.data_dir,
            api_port=api,
            tls_port=tls,
            web_port=chosen["processors"],
            bootstrap_servers=plan.bootstrap_servers or f"127.0.0.1:{chosen['broker']}",
            clickhouse=plan.clickhouse
            or f"http://fswire:{memory.clickhouse_password}@127.0.0.1:{chosen['store']}",
            own_broker=plan.bootstrap_servers is None,
        )

    def _asked_or_free(self, name: str, option: str, port: int, taken: set[int]) -> int:
        if port and (port in taken or not ports.is_free(port)):
            raise PortTaken(
                f"port {port} of 127.0.0.1 is taken: give another {option}, or {option} 0 for any"
            )
        if not port:
            return ports.keep_or_pick(self._memory.ports.get(name), taken)
        taken.add(port)
        return port

    async def _broker(self) -> str:
        """Bring up Kafka, its topics and what the registry must hold; return the admin key."""
        if self.at.own_broker:
            node = Broker(
                self._plan.data_dir / "kafka", self._memory.ports["broker"], self._memory.ports["controller"]
            )
            jars = await asyncio.to_thread(kafka_jars.class_path, self._downloaded)
            await self._supervisor.start(await asyncio.to_thread(parts.broker, node, jars))
            kafka = KafkaSettings.model_construct(bootstrap_servers=self.at.bootstrap_servers)
        else:
            kafka = KafkaSettings(bootstrap_servers=self.at.bootstrap_servers)
        await topics_apply.apply(kafka, await _partitions(kafka), 1)
        own = (PROBE_PROJECT, parts.transfers_project())
        projects = [*own, *(watched.project for watched in self._plan.watched)]
        self._memory.admin_key = await register(kafka, projects, self._memory.admin_key)
        data_dir.keep(self._plan.data_dir, self._memory)
        return self._memory.admin_key

    async def _store(self) -> None:
        if self._plan.clickhouse is None:
            memory = self._memory
            await self._supervisor.start(
                parts.store(self.at, memory.ports["store"], memory.clickhouse_password)
            )
        await asyncio.to_thread(schema.apply, SecretStr(self.at.clickhouse))

    async def _after(self, spec: Spec, *first: asyncio.Future[Any]) -> None:
        for each in first:
            await asyncio.shield(each)
        await self._supervisor.start(spec)

    def _downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        if self._given_up.is_set():
            raise InterruptedError("stopped")
        self._display.downloaded(arrived_bytes, total_bytes)

    def _publish(self, admin_key: str) -> None:
        endpoint.write(
            self._plan.data_dir,
            endpoint.Endpoint(
                api=self.at.api,
                tls_api=self.at.tls_api,
                bootstrap_servers=self.at.bootstrap_servers,
                clickhouse=self.at.clickhouse,
                admin_key=admin_key,
            ),
        )


async def _partitions(kafka: KafkaSettings) -> int:
    """Return how many partitions topics of events have on this broker, or are to get."""
    admin = AIOKafkaAdminClient(**kafka.client())
    try:
        await admin.start()
        found = await admin.describe_topics([kafka.topic(topics.RAW)])
        return len(found[0]["partitions"]) or _PARTITIONS
    finally:
        await admin.close()


async def _all(*steps: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> None:
    """Wait for all steps; when one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
