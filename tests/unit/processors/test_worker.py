"""The end of a worker."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest

from agent.kafka import KafkaSettings
from processors import broker, worker
from processors.settings import ProcessorsSettings


class Exited(BaseException):
    """Stands for the end of the process."""


class Crashed:
    """A worker, or a service of one, that has crashed and stops at once."""

    crash_reason = RuntimeError("why")

    def __init__(self, *_: object) -> None:
        """Take whatever a service takes."""

    async def start(self) -> None:
        """Begin nothing."""

    async def stop(self) -> None:
        """End nothing."""

    wait_until_stopped = start


def test_worker_that_crashed_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: a task that it left behind and that cannot be cancelled kept it alive, and idle, for ever."""

    async def there(*_: object) -> None:
        """Find all topics."""

    def ended(status: int) -> Any:
        raise Exited(status)

    for name in ("Normalize", "Runner", "Sequencer"):
        monkeypatch.setattr(worker, name, Crashed)
    monkeypatch.setattr(broker, "await_topics", there)
    monkeypatch.setattr(worker, "_make_worker", Crashed)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(os, "_exit", ended)

    with pytest.raises(Exited, match="True"):
        asyncio.run(worker._run(KafkaSettings(), ProcessorsSettings()))
