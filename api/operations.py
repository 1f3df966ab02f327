"""What an operator asks of the system over the pages: the very calls that the `fswire` command makes."""

from __future__ import annotations

from agent.kafka import KafkaSettings
from processors import letters, registry, retry
from processors.clickhouse import ClickHouseSettings
from processors.letters import Letter, Place
from processors.registry import NotifySettings
from processors.runs import Run


class Operations:
    """Each call connects for itself: they are few, and the api serves without a broker."""

    def __init__(self, kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> None:
        self._kafka = kafka
        self._clickhouse = clickhouse

    async def retry(self, run: str, partition: int, offset: int) -> Run:
        """Queue a failed run again. Raises RetryRefused and KafkaError."""
        return await retry.retry(self._kafka, run, partition, offset)

    async def letter(self, place: Place) -> Letter:
        """Return a dead letter. Raises UnknownLetter and KafkaError."""
        return await letters.one(self._kafka, place)

    async def replay(self, letter: Letter) -> None:
        """Try a dead letter again. Raises ReplayRefused, KafkaError, ClickHouseUnavailable, RowsRefused."""
        await letters.replay(letter, self._kafka, self._clickhouse)

    async def set_notify(self, settings: NotifySettings) -> None:
        """Write the settings of change notify down, for every api process. Raises KafkaError."""
        await registry.write(self._kafka, settings)
