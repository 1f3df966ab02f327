"""Whether an agent could publish from here: the broker, the raw topic, and who knows the projects."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError

from agent import publish, registered
from agent.broker_trouble import Listener, explain
from agent.kafka import CredentialsMissing, KafkaSettings
from deploy.doctor_finding import Finding

_LONGEST_S = 10.0


async def examine(kafka: KafkaSettings, projects: Collection[str]) -> list[Finding]:
    """Return what a connection shows; at most some seconds."""
    where, topic = kafka.bootstrap_servers, kafka.topic(publish.TOPIC)
    listener = Listener()
    listener.listen()
    try:
        async with asyncio.timeout(_LONGEST_S):
            names = await _topics(kafka)
    except KafkaConnectionError as error:
        said, check = explain(listener.cause() or error)
        return [Finding("broker", "problem", f"{where}: {said}", f"check {check}")]
    except CredentialsMissing as error:
        return [Finding("broker", "problem", str(error), "set them, or FSWIRE_KAFKA_SECURITY_PROTOCOL")]
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        said, check = explain(error)
        return [Finding("broker", "problem", f"{where}: {said}", f"check {check}")]
    found = [Finding("broker", "ok", f"{where} answers ({kafka.security_protocol})")]
    if topic not in names:
        return [*found, Finding("topic", "problem", f"there is no topic {topic}", "fswire topics apply")]
    return [*found, Finding("topic", "ok", f"{topic} is there"), *await _projects(kafka, projects)]


async def _topics(kafka: KafkaSettings) -> set[str]:
    consumer = AIOKafkaConsumer(**kafka.client(), enable_auto_commit=False)
    try:
        await consumer.start()
        return set(await consumer.topics())
    finally:
        await consumer.stop()


async def _projects(kafka: KafkaSettings, projects: Collection[str]) -> list[Finding]:
    names = await registered.read(kafka) if projects else None
    if names is None:
        return []
    return [
        Finding("project", "ok", f"{project} is registered, or may register itself")
        if names.knows(project)
        else Finding(
            "project",
            "warning",
            f"{project} is not registered: its events would wait in dead letters",
            f"fswire project create {project}",
        )
        for project in projects
    ]
