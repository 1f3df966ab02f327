"""Makes the topics on the broker what `processors.topics` says, and refuses what would break their order.

TopicsRefused(Exception)   a person has to decide: nothing was changed
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from agent.kafka import MAX_RECORD_BYTES, KafkaSettings
from processors.topics import ALL, Topic

_DYNAMIC_TOPIC_CONFIG = 1
"""`config_source` of what was set for the topic itself (KIP-226)."""
_UNKNOWN_TOPIC = 3
_READY_TIMEOUT_S = 30.0
_POLL_S = 0.1


class TopicsRefused(Exception):
    """The topics that exist are not what the settings ask for, and cannot be made so."""


@dataclass(frozen=True)
class Found:
    """A topic as it is on the broker."""

    partitions: int
    replication: int
    effective: Mapping[str, str]
    own: Mapping[str, str]
    """Set for this topic; altering replaces all of them."""


async def apply(kafka: KafkaSettings, partitions: int, replication: int) -> list[str]:
    """Create the topics that are missing, alter configurations that differ; return a line for each deed.

    Called by `fswire topics apply` and at the start of a local stack; doing it again does nothing. Raises
    TopicsRefused where a topic has another partition count, before anything is changed, and KafkaError.
    """
    admin = AIOKafkaAdminClient(**kafka.client())
    try:
        await admin.start()
        names = {kafka.topic(topic.name): topic for topic in ALL}
        found = await _describe(admin, names)
        refuse_other_counts(names, found, partitions)
        lines = await _create(admin, names, found, partitions, replication)
        lines += await _alter(admin, names, found, replication)
        await _await_settled(admin, names)
        return lines
    finally:
        await admin.close()


def wanted(topic: Topic, replication: int) -> dict[str, str]:
    """Return the configuration of a topic: no acknowledged record is lost with one broker of three."""
    return topic.config | {
        # The broker measures a batch as it is stored: one record, its headers and the batch's own 61 bytes.
        "max.message.bytes": str(MAX_RECORD_BYTES + 64 * 1024),
        "compression.type": "producer",
        "min.insync.replicas": "2" if replication >= 3 else "1",
        "unclean.leader.election.enable": "false",
    }


def refuse_other_counts(names: Mapping[str, Topic], found: Mapping[str, Found], partitions: int) -> None:
    """Raise TopicsRefused where a topic has another partition count than it should."""
    differing = [
        f"{name} has {found[name].partitions}, not {topic.partitions or partitions}"
        for name, topic in names.items()
        if name in found and found[name].partitions != (topic.partitions or partitions)
    ]
    if differing:
        raise TopicsRefused(
            f"the partition count of a topic cannot change: {'; '.join(differing)}. A project's events would"
            " move to another partition and lose their order. Ask for the count that is there, or drain the"
            " system and start on topics with another FSWIRE_KAFKA_TOPIC_PREFIX."
        )


def differences(topic: Topic, found: Found) -> dict[str, str]:
    """Return the settings of a topic that are not as wanted for the replicas it has: their wanted values."""
    return {
        key: value
        for key, value in wanted(topic, found.replication).items()
        if found.effective.get(key) != value
    }


async def _create(
    admin: AIOKafkaAdminClient,
    names: Mapping[str, Topic],
    found: Mapping[str, Found],
    partitions: int,
    replication: int,
) -> list[str]:
    missing = [
        NewTopic(name, topic.partitions or partitions, replication, topic_configs=wanted(topic, replication))
        for name, topic in names.items()
        if name not in found
    ]
    if missing:
        _raise_errors((await admin.create_topics(missing)).topic_errors)
    return [f"created {topic.name}: {topic.num_partitions} partitions" for topic in missing]


async def _alter(
    admin: AIOKafkaAdminClient, names: Mapping[str, Topic], found: Mapping[str, Found], replication: int
) -> list[str]:
    lines: list[str] = []
    resources = []
    for name, there in found.items():
        if there.replication != replication:
            lines.append(
                f"{name} has {there.replication} replicas, not {replication}:"
                " kafka-reassign-partitions changes that"
            )
        if changes := differences(names[name], there):
            lines.append(f"altered {name}: {', '.join(f'{key}={value}' for key, value in changes.items())}")
            resources.append(ConfigResource(ConfigResourceType.TOPIC, name, {**there.own, **changes}))
    for response in await admin.alter_configs(resources) if resources else ():
        _raise_errors((resource[3], *resource[:2]) for resource in response.resources)
    return lines


async def _describe(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Found]:
    there = [topic for topic in await admin.describe_topics(list(names)) if not _is_missing(topic)]
    if not there:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in there]
    configs: dict[str, list[Any]] = {}
    for response in await admin.describe_configs(resources):
        _raise_errors((resource[3], *resource[:2]) for resource in response.resources)
        configs |= {resource[3]: resource[4] for resource in response.resources}
    return {topic["topic"]: _found(topic, configs[topic["topic"]]) for topic in there}


def _found(topic: Mapping[str, Any], entries: list[Any]) -> Found:
    effective = {name: value for name, value, *_ in entries}
    own = {name: value for name, value, _, source, *_ in entries if source == _DYNAMIC_TOPIC_CONFIG}
    partitions = topic["partitions"]
    replication = min((len(partition["replicas"]) for partition in partitions), default=0)
    return Found(len(partitions), replication, effective, own)


def _is_missing(topic: Mapping[str, Any]) -> bool:
    if topic["error_code"] not in (0, _UNKNOWN_TOPIC):
        raise for_code(topic["error_code"])(topic["topic"])
    return bool(topic["error_code"])


def _raise_errors(results: Iterable[Any]) -> None:
    for name, code, message, *_ in results:
        if code:
            raise for_code(code)(f"{name}: {message}")


async def _await_settled(admin: AIOKafkaAdminClient, names: Mapping[str, Topic]) -> None:
    """Return once brokers show what was done, and every partition can be written; it takes them a moment."""
    async with asyncio.timeout(_READY_TIMEOUT_S):
        while not (  # noqa: ASYNC110  there is nothing to be told by
            await _has_leaders(admin, list(names)) and await _is_as_wanted(admin, names)
        ):
            await asyncio.sleep(_POLL_S)


async def _has_leaders(admin: AIOKafkaAdminClient, names: list[str]) -> bool:
    topics = await admin.describe_topics(names)
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return not any(topic["error_code"] for topic in topics) and all(
        partition["error_code"] == 0 and partition["leader"] >= 0 for partition in partitions
    )


async def _is_as_wanted(admin: AIOKafkaAdminClient, names: Mapping[str, Topic]) -> bool:
    found = await _describe(admin, names)
    return not any(differences(topic, found[name]) for name, topic in names.items())
