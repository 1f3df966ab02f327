"""Made-up agents: consistent histories of made-up trees, with every repetition that delivery may bring.

Out flow batches as JSON objects: each number once at first, then redelivered, overlapping, in a new epoch;
content goes from A to B and back. Two agents share each tenth project. Uses none of fswire's code.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

Object = dict[str, Any]
_LARGE = 300
"""Files of a large directory: more than are re-keyed at once."""
_KEPT = 20
"""Batches of which one may be delivered again much later."""
_ACKNOWLEDGED_MS = 300_000
"""Longer than a broker that is killed takes to come back: a batch is given up for lost after this."""


@dataclass(frozen=True)
class Size:
    """How much is published, and how it is cut up."""

    events: int
    agents: int
    per_batch: int
    seconds: float
    """Over how long it is spread."""
    outage_s: float
    """How long the database is away meanwhile."""


class Agent:
    """One installation in one project; `batches` is all that it sends."""

    def __init__(self, number: int, seed: int) -> None:
        self._chance = random.Random(f"{seed}/{number}")
        self._top = f"a{number:02}"
        self.project = f"chaos-{number - (number % 10 == 1):02}"
        self._name = f"agt_{number:02}"
        self._dirs: dict[str, dict[str, int]] = {}
        self._made = 0
        self._epoch, self._seq, self._previous = "e0", 1, None
        self._sent: list[Object] = []

    def batches(self, events: int, per_batch: int) -> Iterator[Object]:
        """Yield batches with so many different events."""
        waiting: list[Object] = []
        while events > 0:
            wanted = min(events, self._chance.randint(1, 2 * per_batch))
            while len(waiting) < wanted:
                waiting += self._step()
            yield from self._delivered(waiting[:wanted])
            del waiting[:wanted]
            events -= wanted

    def _delivered(self, events: list[Object]) -> Iterator[Object]:
        """Yield a batch, and now and then an old one, the same again, or one that overlaps it."""
        if self._seq > 1 and self._chance.random() < 0.02:
            self._previous = {"epoch": self._epoch, "last_seq": self._seq - 1}
            self._epoch, self._seq = f"e{int(self._epoch[1:]) + 1}", 1
        batch = self._batch(self._seq, events)
        if self._sent and self._chance.random() < 0.1:
            last = self._sent[-1]
            if last["epoch"] == self._epoch:
                cut = self._chance.randint(0, len(last["events"]) - 1)
                batch = self._batch(last["first_seq"] + cut, last["events"][cut:] + events)
        self._seq += len(events)
        if self._sent and self._chance.random() < 0.03:
            yield self._chance.choice(self._sent)
        for _ in range(1 + (self._chance.random() < 0.1)):
            yield batch
        self._sent = [*self._sent[1 - _KEPT :], batch]

    def _batch(self, first_seq: int, events: list[Object]) -> Object:
        batch = {
            "v": 1,
            "project": self.project,
            "host": "host-" + self._top,
            "sent_ns": time.time_ns(),
            "agent": self._name,
            "epoch": self._epoch,
            "first_seq": first_seq,
            "events": events,
        }
        if first_seq == 1 and self._previous:
            batch["previous"] = self._previous
        return batch

    def _step(self) -> list[Object]:
        """Return the events of one thing that happens."""
        chance = self._chance
        if not self._dirs or chance.random() < 0.02:
            return self._made_directory(_LARGE if chance.random() < 0.1 else 0)
        directory = chance.choice(list(self._dirs))
        files = self._dirs[directory]
        if chance.random() < 0.02:
            return self._renamed_directory(directory)
        if chance.random() < 0.005:
            del self._dirs[directory]
            return [_event("delete", directory, is_dir=True)]
        if chance.random() < 0.05:
            return [self._written(f"common/f{chance.randrange(20)}", chance.randrange(3))]
        if not files or chance.random() < 0.3:
            return self._made_file(directory)
        return self._touched(directory, chance.choice(list(files)))

    def _touched(self, directory: str, name: str) -> list[Object]:
        files, path = self._dirs[directory], f"{directory}/{name}"
        match self._chance.choice(("change", "change", "same", "back", "mode", "open", "delete", "rename")):
            case "change":
                files[name] += 1
                return [self._written(path, files[name])]
            case "same":
                return [self._written(path, files[name])]
            case "back":
                content = files[name]
                return [self._written(path, each) for each in (content, content + 1, content)]
            case "mode":
                return [_event("attribute", path, mode=0o600, changed=["mode"])]
            case "open":
                return [_event("modify", path, size=7, changed=["size"])]
            case "delete":
                del files[name]
                return [_event("delete", path)]
        to = self._new_name()
        files[to] = files.pop(name)
        return [_event("rename", path, renamed_to=f"{directory}/{to}", moved="within")]

    def _made_directory(self, files: int) -> list[Object]:
        self._made += 1
        directory = f"{self._top}/d{self._made}"
        self._dirs[directory] = {}
        made = [_event("create", directory, is_dir=True)]
        return made + [event for _ in range(files) for event in self._made_file(directory)]

    def _renamed_directory(self, directory: str) -> list[Object]:
        self._made += 1
        to = f"{self._top}/r{self._made}"
        self._dirs[to] = self._dirs.pop(directory)
        return [_event("rename", directory, renamed_to=to, moved="within", is_dir=True)]

    def _made_file(self, directory: str) -> list[Object]:
        name = self._new_name()
        self._dirs[directory][name] = self._made
        return [_event("create", f"{directory}/{name}"), self._written(f"{directory}/{name}", self._made)]

    def _new_name(self) -> str:
        self._made += 1
        return f"{'hot' if self._chance.random() < 0.05 else 'f'}-{self._made}"

    def _written(self, path: str, content: int) -> Object:
        sha256 = hashlib.sha256(b"%d" % content).hexdigest()
        return _event("closeWrite", path, sha256=sha256, size=content, mtime_ns=content, written=True)


def _event(kind: str, path: str, **fields: Any) -> Object:
    return {"kind": kind, "path": path, "time_ns": time.time_ns(), **fields}


def partition_of(project: str, partitions: int) -> int:
    """Return where Kafka's default partitioner puts a project."""
    every = list(range(partitions))
    return int(DefaultPartitioner()(project.encode(), every, every))


async def publish(servers: str, topic: str, partitions: int, size: Size, seed: int) -> None:
    """Send what all agents send, in turns, each in its order; returns once all is acknowledged."""
    rounds = [Agent(number, seed) for number in range(size.agents)]
    left = [agent.batches(size.events // size.agents, size.per_batch) for agent in rounds]
    chance, began, events = random.Random(seed), time.monotonic(), 0
    async with AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=True,
        max_request_size=8_000_000,
        request_timeout_ms=_ACKNOWLEDGED_MS,
    ) as producer:
        sent: list[asyncio.Future[Any]] = []
        while left:
            batches = chance.choice(left)
            batch = next(batches, None)
            if batch is None:
                left.remove(batches)
                continue
            key = batch["project"].encode()
            partition = partition_of(batch["project"], partitions)
            sent.append(await producer.send(topic, json.dumps(batch).encode(), key, partition=partition))
            events += len(batch["events"])
            ahead_s = events / size.events * size.seconds - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, min(ahead_s, 1.0)))
        await asyncio.gather(*sent)
