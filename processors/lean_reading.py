"""aiokafka's reading for a process that does little else: of each record a Row, and nothing in between.

aiokafka makes an object of eleven fields of each record, with all of its headers; to keep a Row of it is
another. Together that takes twice as long as parsing the record.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher

from processors.rows import Row, slim


class _LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch; aiokafka calls `_consumer_record` for each."""

    def _consumer_record(self, _place: Any, record: Any) -> Row:
        return slim(record)


def read_rows() -> None:
    """Let every consumer that this process makes give Rows; aiokafka has no other place to say so."""
    fetcher.PartitionRecords = _LeanRecords
