"""What a partition makes of groups of records: each record is decoded and decided on its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from agent.event import Batch
from agent.kafka import KafkaSettings
from processors.chunk import NO_TRIGGERS, Chunk, RawRecord
from processors.decode import Refusal
from processors.normalize_partition import Links, Partition
from processors.settings import ProcessorsSettings
from tests.unit.processors.raw import Stored, batch, event, record, values

SPOILED = 2


class Projects:
    """Refuses some, and remembers of which it was asked at one time."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[set[str]] = []
        self._refused = refused

    async def refused(self, projects: Iterable[str]) -> frozenset[str]:
        self.asked.append(set(projects))
        return frozenset(self._refused).intersection(self.asked[-1])


def made(directory: Path, projects: Projects, *groups: list[RawRecord]) -> Chunk:
    """Return the chunk that a partition makes of groups of records."""
    no: Any = None
    settings = ProcessorsSettings(data_dir=directory)
    links = Links(KafkaSettings(), settings, no, no, no, projects, NO_TRIGGERS, no)  # type: ignore[arg-type]
    partition = Partition(TopicPartition("fswire.raw", 0), 1, links)
    partition._store = Stored()  # type: ignore[assignment]
    return asyncio.run(partition._make(list(groups)))


def numbered(offset: int, project: str = "p") -> RawRecord:
    """Return a record of one event, whose path is its offset."""
    return record(offset, batch(event(path=str(offset)), project=project, first_seq=offset + 1))


def parked(chunk: Chunk) -> list[tuple[int, str, str]]:
    """Return offset, reason and detail of each dead letter."""
    letters = [json.loads(each.value) for each in chunk.outputs.dead_letters]
    return [(each["offset"], each["reason"], each["detail"]) for each in letters]


def created(chunk: Chunk) -> list[str]:
    """Return the paths that were created; what is missing in the numbers is a gap beside them."""
    return [each["filename"] for each in values(chunk.outputs.donutwork) if each["event"] == "created"]


def test_record_that_cannot_be_processed_is_parked_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is begun again without it: nothing of its first half is left, nothing is there twice."""
    take = Chunk.take

    def spoiling(chunk: Chunk, of: RawRecord, decoded: Batch | Refusal) -> None:
        take(chunk, of, decoded)
        if of.offset == SPOILED and isinstance(decoded, Batch):
            raise ZeroDivisionError

    monkeypatch.setattr(Chunk, "take", spoiling)
    chunk = made(tmp_path, Projects(), [numbered(0), numbered(1)], [numbered(SPOILED), numbered(3)])

    assert parked(chunk) == [(SPOILED, "bad_event", "could not be processed: ZeroDivisionError")]
    assert created(chunk) == ["0", "1", "3"]
    assert chunk.events == 4


def test_projects_are_looked_up_by_group(tmp_path: Path) -> None:
    """What is refused in one group does not pass in it, and stops nobody in another."""
    projects = Projects("other")
    chunk = made(tmp_path, projects, [numbered(0), numbered(1, "other")], [numbered(2)], [record(3, b"?")])

    assert projects.asked == [{"p", "other"}, {"p"}, set()]
    assert [(offset, reason) for offset, reason, _ in parked(chunk)] == [
        (1, "unknown_project"),
        (3, "not_json"),
    ]
    assert created(chunk) == ["0", "2"]
