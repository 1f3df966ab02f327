"""Waits for the broker and its topics, and says once, clearly, when it is not there and when it is back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings

_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_WATCH_S = 3.0
_ANSWER_S = 10.0

_log = structlog.get_logger()


async def await_topics(kafka: KafkaSettings, names: Collection[str]) -> None:
    """Return once the broker answers and has these topics; called before a stage starts."""
    said: set[str] | None = set()
    for delay_s in itertools.chain(_BACK_OFF_S, itertools.repeat(_BACK_OFF_S[-1])):
        missing = await _missing(kafka, names)
        if missing is not None and not missing:
            return
        if missing != said:
            said = missing
            if missing is None:
                _say_unreachable(kafka)
            else:
                _log.warning(
                    "topics are missing, waiting for them",
                    topics=sorted(missing),
                    check="fswire topics apply",
                )
        await asyncio.sleep(delay_s)


async def watch(kafka: KafkaSettings, producer: Callable[[], AIOKafkaProducer]) -> None:
    """Log when the broker stops answering, and when it answers again; runs until cancelled."""
    answering = True
    while True:
        await asyncio.sleep(_WATCH_S)
        answers = await _answers(producer())
        if answering and not answers:
            _say_unreachable(kafka)
        elif answers and not answering:
            _log.info("the broker answers again", broker=kafka.bootstrap_servers)
        answering = answers


def _say_unreachable(kafka: KafkaSettings) -> None:
    _log.warning(
        "the broker does not answer, trying again until it does",
        broker=kafka.bootstrap_servers,
        check="Kafka runs there, FSWIRE_KAFKA_BOOTSTRAP_SERVERS and the FSWIRE_KAFKA_… credentials are right",
    )


async def _answers(producer: AIOKafkaProducer) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_S):
            return bool(await producer.client.force_metadata_update())
    except (TimeoutError, KafkaError):
        return False


async def _missing(kafka: KafkaSettings, names: Collection[str]) -> set[str] | None:
    """Return which of the topics do not exist, None where the broker does not answer."""
    admin = AIOKafkaAdminClient(**kafka.client())
    try:
        async with asyncio.timeout(_ANSWER_S):
            await admin.start()
            return set(names) - set(await admin.list_topics())
    except (TimeoutError, KafkaError):
        return None
    finally:
        await admin.close()
