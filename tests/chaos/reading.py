"""What the checker looks at: topics through aiokafka alone, tables through plain HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from tests.chaos.checker import Checker, Row, Run, Seen
from tests.chaos.model import File, Model, Rule

Read = ConsumerRecord[bytes | None, bytes | None]
_ROWS = """
SELECT kafka_partition, src, project_id, agent, epoch, seq, event_id, event, path, size, duplicate
FROM events WHERE kafka_topic = '{topic}' ORDER BY kafka_partition, kafka_offset
"""
_SUMS = "SELECT project_id, event, sum(events), sum(duplicates), sum(bytes) FROM activity GROUP BY ALL"
_RUNS = "SELECT run_id, workflow, event_id, state FROM runs FINAL"
_FILES = "SELECT project_id, path, is_dir, lower(hex(sha256)) FROM files FINAL"


class Broker:
    """The topics with one prefix."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._servers = servers
        self._prefix = prefix

    async def records(self, name: str) -> AsyncIterator[Read]:
        """Yield all that one of the topics holds now, in each partition's order."""
        async for record in self.all_of(self._prefix + name):
            yield record

    async def all_of(self, topic: str) -> AsyncIterator[Read]:
        """Yield all that somebody's topic holds now; the order is that of each partition."""
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=self._servers, group_id=None, auto_offset_reset="earliest"
        ) as consumer:
            places = list(consumer.assignment())
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    for record in records:
                        yield record

    async def model(self, rules: tuple[Rule, ...]) -> Model:
        """Work out what must come of the raw topic."""
        model = Model(rules)
        async for record in self.records("raw"):
            model.take(record.partition, record.offset, json.loads(record.value or b"{}"))
        return model

    async def check(self, checker: Checker, ended: str = "succeeded") -> None:
        """Check the normalised topics, files and runs, of which all should have ended so."""
        for name in ("donutwork", "watch", "notify"):
            checker.topic(name, [_seen(record) async for record in self.records(name)])
        values: dict[bytes, Any] = {}
        async for record in self.records("files"):
            values[record.key or b""] = json.loads(record.value) if record.value else None
        checker.files("topic files", dict(_file(key, value) for key, value in values.items() if value))
        runs: dict[bytes, Run] = {}
        async for record in self.records("runs"):
            if record.value is None:
                continue  # a worker's claim of the partition
            told = json.loads(record.value)
            runs[record.key or b""] = Run(told["id"], told["workflow"], told["eventId"], told["state"])
        checker.runs("topic runs", runs.values(), ended)
        async for record in self.records("dead-letters"):
            checker.faults.add("dead letters: nothing of it is bad", record.value)

    async def target(self, topic: str) -> list[tuple[str, str]]:
        """Return what the action of a workflow put on a topic of its own: no delivery id, and the event's."""
        return [("", json.loads(record.value or b"{}")["eventId"]) async for record in self.all_of(topic)]


class Tables:
    """The tables behind an HTTP client of ClickHouse."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def query(self, statement: str) -> list[list[Any]]:
        """Return the rows of a query."""
        answer = self._client.post("/", content=f"{statement} FORMAT JSONCompactEachRow")
        if answer.is_error:
            raise AssertionError(answer.text)
        return [json.loads(line) for line in answer.text.splitlines()]

    def check(self, checker: Checker, topic: str) -> None:
        """Check events (without FINAL), their sums, files and runs."""
        checker.rows(_row(*each) for each in self.query(_ROWS.format(topic=topic)))
        checker.activity(
            {
                (project, event): (int(events), int(duplicates), int(size))
                for project, event, events, duplicates, size in self.query(_SUMS)
            }
        )
        checker.runs("table runs", (Run(*each) for each in self.query(_RUNS)))
        found = {
            (project, path): File(bool(is_dir), sha256 if sha256.strip("0") else None)
            for project, path, is_dir, sha256 in self.query(_FILES)
        }
        checker.files("table files", found)


def _src(text: str) -> tuple[int, int, int]:
    offset, event, record = map(int, text.split("."))
    return offset, event, record


def _seen(record: Read) -> Seen:
    named = {name: value.decode() for name, value in record.headers}
    identity = (record.key or b"").decode(), named["agent"], named["epoch"], int(named["seq"])
    value = hash(record.value)
    return Seen(record.partition, _src(named["src"]), identity, named["event_id"], value)


def _file(key: bytes, value: dict[str, Any]) -> tuple[tuple[str, str], File]:
    project, _, path = key.decode().partition("\0")
    return (project, path), File(value.get("isDir", False), value.get("sha256"))


def _row(partition: int, src: str, project: str, agent: str, epoch: str, seq: object, *more: Any) -> Row:
    event_id, event, path, size, duplicate = more
    identity = project, agent, epoch, int(str(seq))
    return Row(partition, _src(src), identity, event_id, event, path, int(size), bool(duplicate))
