"""A worker of its own on topics of its own, what is written for it, and what it makes of that."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent.event import Batch, encode
from agent.kafka import KafkaSettings, partition_of
from processors import registry, topics, topics_apply
from processors.position import BEFORE_ALL, Position
from tests.integration import free_ports

PARTITIONS = 4
AWAIT_S = 180
RUN = "import sys; from processors.worker import main; sys.exit(main())"


@dataclass
class Worker:
    """A process of `fswire processors`; standard error goes to `log`."""

    kafka: KafkaSettings
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)
    web_port: int = 0

    def __post_init__(self) -> None:
        self.log = self.directory / f"worker-{secrets.token_hex(4)}.log"

    def start(self) -> Worker:
        """Start the process; what it is given later it finds in its topics."""
        self.web_port = free_ports.pick()
        environment = os.environ | {
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "FSWIRE_KAFKA_TOPIC_PREFIX": self.kafka.topic_prefix,
            "FSWIRE_PROCESSORS_GROUP": group_of(self.kafka),
            "FSWIRE_RUNNER_GROUP": self.kafka.topic_prefix + "runner",
            "FSWIRE_PROCESSORS_WEB_PORT": str(self.web_port),
            "FSWIRE_PROCESSORS_DATA_DIR": str(self.directory / "faust"),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", RUN], stderr=log, env=environment)
        return self

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(AWAIT_S)

    def await_text(self, text: str, within: Callable[[], str], timeout_s: float = AWAIT_S) -> None:
        """Return once `within`, such as its log or its metrics, has this; fail where it ends before."""
        assert self.process is not None
        for _ in range(int(timeout_s / 0.1)):
            if text in within():
                return
            try:
                # a file cannot be waited for, the end of a process can
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        raise AssertionError(f"{text!r} never came:\n{self.said()}")

    def metrics(self) -> str:
        """Return its page of metrics."""
        return httpx2.get(f"http://127.0.0.1:{self.web_port}/metrics", timeout=AWAIT_S).text

    def said(self) -> str:
        """Return the end of its log, for the message of a failure."""
        return self.log.read_text(errors="replace")[-6_000:]


def group_of(kafka: KafkaSettings) -> str:
    """Return the group in which workers share what they normalize."""
    return kafka.topic_prefix + "normalize"


@contextmanager
def worker(kafka: KafkaSettings, directory: Path) -> Iterator[Worker]:
    """Run a worker; it is killed at the end where it still lives."""
    running = Worker(kafka, directory).start()
    try:
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
            running.process.wait(AWAIT_S)


def make_topics(kafka: KafkaSettings, *projects: str, pattern: str = "allowed-*") -> KafkaSettings:
    """Return settings with a prefix of their own whose topics exist, with these projects registered."""
    own = kafka.model_copy(update={"topic_prefix": f"t{secrets.token_hex(4)}."})

    async def make() -> None:
        await topics_apply.apply(own, PARTITIONS, 1)
        await registry.write(
            own, *(registry.registered_now(each) for each in projects), registry.Pattern(pattern, 0)
        )

    asyncio.run(make())
    return own


async def make_topic(own: KafkaSettings, name: str) -> None:
    """Make a topic of one partition, and return once it is known; its name is without any prefix."""
    admin = AIOKafkaAdminClient(**own.client())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        async with asyncio.timeout(AWAIT_S):
            while not (await admin.describe_topics([name]))[0]["partitions"]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
    finally:
        await admin.close()


def write(kafka: KafkaSettings, *raw: tuple[str, Batch | bytes]) -> None:
    """Append records to the raw topic, each in its project's partition."""

    async def send() -> None:
        producer = AIOKafkaProducer(**kafka.client(), acks="all", max_request_size=20_000_000, linger_ms=5)
        await producer.start()
        try:
            sent = []
            for project, value in raw:
                encoded = encode(value) if isinstance(value, Batch) else value
                partition = partition_of(project, PARTITIONS)
                sent.append(
                    await producer.send(kafka.topic("raw"), encoded, project.encode(), partition=partition)
                )
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    asyncio.run(send())


Read = ConsumerRecord[bytes | None, bytes | None]


def read_until(
    kafka: KafkaSettings, topic: str, enough: Callable[[list[Read]], bool], timeout_s: float = AWAIT_S
) -> list[Read]:
    """Return what a topic holds, in each partition's order, as soon as it is enough; claims are nobody's."""

    async def read() -> list[Read]:
        consumer = AIOKafkaConsumer(
            kafka.topic(topic), **kafka.client(), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            records: list[Read] = []
            async with asyncio.timeout(timeout_s):
                while not enough(records):
                    for polled in (await consumer.getmany(timeout_ms=1_000)).values():
                        records += [each for each in polled if each.key != topics.CLAIM_KEY]
            return records
        finally:
            await consumer.stop()

    return asyncio.run(read())


def read_count(kafka: KafkaSettings, topic: str, count: int) -> list[Read]:
    """Return what a topic holds once there is so much of it."""
    return read_until(kafka, topic, lambda records: len(records) >= count)


def shown(record: Read) -> Any:
    """Return a record's JSON."""
    return json.loads(record.value or b"null")


def header(record: Read, name: str) -> str:
    """Return one of a record's headers."""
    return dict(record.headers)[name].decode()


def deduplicated(records: list[Read]) -> list[Read]:
    """Drop what a subscriber drops: per partition, records not above the last position seen."""
    seen: dict[int, Position] = {}
    kept = []
    for record in records:
        position = Position.parse(header(record, "src"))
        if position > seen.get(record.partition, BEFORE_ALL):
            seen[record.partition] = position
            kept.append(record)
    return kept
