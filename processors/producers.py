"""Producers: how normalize and the runner connect one, fence one by name, and throw one away unflushed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from agent.kafka import KafkaSettings
from processors.record_batch import MAX_BYTES

Connect = Callable[..., Awaitable[AIOKafkaProducer]]
"""`connect`, or what stands for it."""
_ABANDON_TIMEOUT_S = 5.0

_log = structlog.get_logger()


async def connect(kafka: KafkaSettings, fence: str | None = None) -> AIOKafkaProducer:
    """Return a started producer; raises KafkaError.

    With a fence the broker refuses what earlier producers of that name still send to a partition, as soon as
    it has a record of this one there: they share a producer id and each has its own epoch, the newest the
    highest (KIP-98). The name is a transactional id, but no transaction is ever begun.
    """
    producer = AIOKafkaProducer(**kafka.producer(), max_batch_size=MAX_BYTES, transactional_id=fence)
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    if fence is not None:
        # from here on aiokafka takes it for an idempotent producer, which needs no transaction to send
        producer._txn_manager.transactional_id = None
    return producer


async def abandon(producer: AIOKafkaProducer) -> None:
    """Disconnect without flushing. `stop` would wait until all it holds is delivered.

    Whoever still waits for an acknowledgement, for another partition perhaps, is told that none will come.
    """
    producer._closed = True
    try:
        async with asyncio.timeout(_ABANDON_TIMEOUT_S):
            await producer.client.close()
            await producer._sender.close()
    except Exception as error:  # noqa: BLE001  it is being thrown away
        _log.warning("a producer was abandoned with an error", error=repr(error))
    finally:
        producer._message_accumulator.fail_all(ProducerClosed())
