"""Reading Rows: what aiokafka's fetcher makes of a batch, and what is kept of it."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from processors.lean_reading import read_rows
from processors.record_batch import Batches, field, length
from processors.rows import Row, slim

HEADERS = length(2) + field(b"agent") + field(b"a") + field(b"src") + field(b"7.0.0")
RECORDS = [
    (1_763_688_001_500, field(b"project"), b'{"projectId":"project"}', HEADERS),
    (1_763_688_001_501, field(b"project/a"), None, HEADERS),
    (1_763_688_001_502, field(b"project"), b"{}", length(0)),
]


def test_rows_are_what_is_kept_of_aiokafkas_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, tombstones with all their headers, and records without any."""
    monkeypatch.setattr(fetcher, "PartitionRecords", fetcher.PartitionRecords)
    kept = [slim(record) for record in _fetched()]

    read_rows()
    read = list(_fetched())

    assert all(type(each) is Row for each in read)
    assert read == kept
    assert [row.offset for row in read] == [0, 1, 2]


def _fetched() -> fetcher.PartitionRecords:
    """Return the records as the fetcher would iterate over them."""
    (batch,) = Batches(RECORDS)
    batch.compress()
    records = MemoryRecords(batch._build())
    return fetcher.PartitionRecords(TopicPartition("t", 0), records, [], 0, None, None, True, 0)
