"""All transfers in memory, as `fswire.transfers` tells them: the same in every process that follows it."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiokafka import ConsumerRecord

from agent.kafka import KafkaSettings
from processors import topics
from processors.followed import Followed
from processors.transfer_records import Marks, Transfer, Transfers, marks_of

_log = structlog.get_logger()

Told = Callable[[int, Transfer | None, Marks], None]
"""Called with a transfer's id, what it is now (None: deleted), and the marks of the record."""


def _untold(_identity: int, _now: Transfer | None, _marks: Marks) -> None:
    return None


class View(Followed):
    """The transfers; a decision is there whole or not at all."""

    def __init__(self, kafka: KafkaSettings, told: Told = _untold) -> None:
        super().__init__(kafka, topics.TRANSFERS)
        self.transfers = Transfers()
        self._told = told

    def take_record(self, record: ConsumerRecord[bytes, bytes]) -> None:
        """Fold a record in, and tell of it."""
        try:
            marks = marks_of(record.headers)
            identity = self.transfers.take(record.key or b"", record.value)
        except ValueError as error:  # msgspec's errors and those of decoding are ValueErrors
            _log.error("a record of the transfers is not readable", offset=record.offset, error=str(error))
            return
        if identity is not None:
            self._told(identity, self.transfers.rows.get(identity), marks)
