"""What a local stack needs in the registry: its projects, and a key that may do everything."""

from __future__ import annotations

import time
from collections.abc import Iterable

from agent.kafka import KafkaSettings
from processors.credentials import SCOPES, new_key, verify
from processors.registry import Key, Project, Registry, write


async def register(kafka: KafkaSettings, projects: Iterable[str], key: str | None) -> str:
    """Write the projects that are missing, and an admin key unless `key` (`ID.SECRET`) is one; return it.

    What is registered already stays as it is.
    """
    registry = Registry(kafka)
    await registry.start()
    try:
        now_ns = time.time_ns()
        records: list[Project | Key] = [
            Project(project, now_ns) for project in projects if registry.project(project) is None
        ]
        if key is None or not _counts(registry, key):
            record, key = new_key(sorted(SCOPES), ["*"], None)
            records.append(record)
        await write(kafka, *records)
    finally:
        await registry.stop()
    return key


def _counts(registry: Registry, key: str) -> bool:
    key_id, _, secret = key.partition(".")
    record = registry.key(key_id)
    return record is not None and not record.revoked and verify(secret, record.secret_hash)
