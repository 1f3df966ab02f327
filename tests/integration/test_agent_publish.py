"""The agent as a process against a real broker: killed at any moment, nothing is missing from the raw topic."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent.event import Batch, Event, decode_batch
from agent.kafka import KafkaSettings, partition_of
from tests.unit.agent.replay import on_disk, replay

pytestmark = pytest.mark.stack
PARTITIONS = 4
_RUN = """
import sys
from agent import run, settings
from agent.kafka import KafkaSettings
roots = [{"dir": sys.argv[1], "project": "proj"}]
sys.exit(run.main(settings.read(roots=roots, state_dir=sys.argv[2], heartbeat_s=0.2), KafkaSettings()))
"""


@pytest.fixture
def raw(kafka: KafkaSettings) -> KafkaSettings:
    """Settings with a prefix of this test's own, under which a raw topic exists."""
    own = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})

    async def create() -> None:
        admin = AIOKafkaAdminClient(**own.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(own.topic("raw"), PARTITIONS, 1)])
        finally:
            await admin.close()

    asyncio.run(create())
    return own


def _agent(kafka: KafkaSettings, root: Path, state: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(root), str(state)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"started"' in line:
            return process
    raise AssertionError("the agent did not start")


def _published(kafka: KafkaSettings) -> list[tuple[int, bytes | None, Batch]]:
    async def read() -> list[tuple[int, bytes | None, Batch]]:
        consumer = AIOKafkaConsumer(**kafka.client(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(kafka.topic("raw"), number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found = []
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    for record in await consumer.getmany(partition, timeout_ms=1000).__await__().__next__():
                        found.append(record)
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())
