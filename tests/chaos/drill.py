"""Events of many made-up agents through a fleet that is killed at random, then proven whole.

In flows a fleet of empty servers; out flows a checker with what it found.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from agent.kafka import KafkaSettings
from deploy import schema
from processors import registry, topics_apply
from processors.workflow import Action, ToTopic, Webhook, Workflow
from tests.chaos import load
from tests.chaos.checker import Checker
from tests.chaos.fleet import Fleet, hook, until
from tests.chaos.load import Size
from tests.chaos.model import Model, Rule
from tests.chaos.reading import Broker, Tables

PARTITIONS = 4
SMALL = Size(events=10_000, agents=10, per_batch=40, seconds=14, outage_s=3)
FULL = Size(events=500_000, agents=50, per_batch=250, seconds=300, outage_s=120)
_TARGET = "target"
_ARRIVED_S = 300
_RULES = (Rule("to-topic", "modified", "hot-"), Rule("to-hook", "deleted", "hot-"))
_SINK_BYTES = 500 * 1024 * 1024
"""What a sink may hold while the database is away."""


class Chaos:
    """One run, from empty topics to the verdict."""

    def __init__(self, fleet: Fleet, size: Size, seed: int) -> None:
        self._fleet = fleet
        self._size = size
        self._seed = seed
        self._chance = random.Random(seed)
        self._broker = Broker(fleet.kafka.bootstrap_servers, fleet.kafka.topic_prefix)
        self._sink_bytes = 0
        self._model = Model()

    def run(self) -> Checker:
        """Publish, make trouble meanwhile, wait until all has arrived, check."""
        schema.apply(SecretStr(self._fleet.store.place.url))
        with hook() as (url, calls):
            asyncio.run(_prepare(self._fleet.kafka, url))
            self._fleet.start()
            self._trouble()
            self._fleet.settle()
            model = self._model = asyncio.run(self._broker.model(_RULES))
            if len(model.told) != self._size.events:
                raise AssertionError(f"the load is {len(model.told)} events: it lost some itself")
            with self._fleet.store.place.http() as client:
                tables = Tables(client)
                until(lambda: _arrived(tables, model), _ARRIVED_S + self._size.events / 1_000)
                checker = Checker(model.told, model.files)
                asyncio.run(self._broker.check(checker))
                tables.check(checker, self._fleet.kafka.topic("donutwork"))
            checker.target("to-topic", asyncio.run(self._broker.target(_TARGET)))
            checker.target("to-hook", list(calls))
        if self._sink_bytes > _SINK_BYTES:
            checker.faults.add("sink: memory", self._sink_bytes)
        for part in self._fleet.unasked:
            checker.faults.add("a part ended by itself", f"{part.name}: {part.said()}")
        return checker

    def _trouble(self) -> None:
        """Go from trouble to trouble as long as agents publish: once the broker, once the database."""
        kafka, size = self._fleet.kafka, self._size
        publishing = threading.Thread(
            target=lambda: asyncio.run(
                load.publish(kafka.bootstrap_servers, kafka.topic("raw"), PARTITIONS, size, self._seed)
            )
        )
        publishing.start()
        began, chance = time.monotonic(), self._chance
        at = dict(zip(("broker", "database"), chance.sample((0.2, 0.35, 0.5, 0.65), 2), strict=True))
        while publishing.is_alive():
            publishing.join(chance.uniform(0.3, 2.0) * (1 + size.seconds / 100))
            share = (time.monotonic() - began) / size.seconds
            due = next((what for what, when in at.items() if share >= when), None)
            if due is None:
                self._fleet.trouble(chance)
            elif at.pop(due) and due == "broker":
                self._fleet.restart_broker()
            else:
                with self._fleet.without_database():
                    publishing.join(size.outage_s)
                    self._sink_bytes = max(each.resident_bytes() for each in self._fleet.sinks)

    def summary(self) -> str:
        """Return what was done, for the reader."""
        told, files = self._model.told, sum(map(len, self._model.files.values()))
        return (
            f"seed {self._seed}: {len(told)} events, {sum(each.duplicate for each in told)} duplicates, "
            f"{sum(len(each.runs) for each in told)} runs, {files} files; a sink without database held "
            f"{self._sink_bytes >> 20} MiB\n" + "\n".join(self._fleet.done)
        )


async def _prepare(kafka: KafkaSettings, url: str) -> None:
    await topics_apply.apply(kafka, PARTITIONS, 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(_TARGET, 1, 1)])
    await admin.close()
    actions = (Action(topic=ToTopic(_TARGET)), Action(webhook=Webhook(url)))
    await registry.write(
        kafka,
        registry.Pattern("chaos-*", 0),
        *(
            Workflow(
                rule.workflow,
                "chaos-*",
                f"DirectoryMonitor.chaos-*.{rule.event}.notify",
                action,
                include=(f"{rule.prefix}*",),
            )
            for rule, action in zip(_RULES, actions, strict=True)
        ),
    )


def _arrived(tables: Tables, model: Model) -> bool:
    """Tell whether everything seems to be there; what is missing then is the checker's to say."""
    runs = sum(len(each.runs) for each in model.told)
    files = sum(map(len, model.files.values()))
    counted = tables.query(
        "SELECT (SELECT count() FROM events), (SELECT countIf(state = 'succeeded') FROM runs FINAL), "
        "(SELECT count() FROM files FINAL)"
    )
    return [int(each) for each in counted[0]] == [len(model.told), runs, files]
