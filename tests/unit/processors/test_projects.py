import asyncio
from typing import Any

import pytest

from agent.kafka import KafkaSettings
from processors import projects as projects_module
from processors.projects import Projects
from processors.registry import Pattern, Project, Registry


class Topic:
    """A registry whose topic is a list; its view shows what was there at the last catching up."""

    def __init__(self, registry: Registry) -> None:
        self.registry: Any = registry
        self.written: list[Project | Pattern] = []
        self.catch_ups = 0
        self.registry.catch_up = self.catch_up

    async def catch_up(self) -> None:
        self.catch_ups += 1
        for entry in self.written:
            if isinstance(entry, Project):
                self.registry._projects[entry.id] = entry
            else:
                self.registry._patterns[entry.pattern] = entry

    async def write(self, _kafka: KafkaSettings, *entries: Project) -> None:
        self.written += entries


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic(Registry(KafkaSettings()))
    monkeypatch.setattr(projects_module, "write", made.write)
    return made


def refused(topic: Topic, *calls: set[str]) -> list[frozenset[str]]:
    async def ask() -> list[frozenset[str]]:
        projects = Projects(KafkaSettings(), topic.registry)
        return [await projects.refused(call) for call in calls]

    return asyncio.run(ask())


def test_registered_project_costs_nothing(topic: Topic) -> None:
    """A project that the view shows is taken without a look at the topic."""
    topic.registry._projects["p"] = Project("p", 0)

    assert refused(topic, {"p"}) == [frozenset()]
    assert topic.catch_ups == 0


def test_project_registered_a_moment_ago_is_taken(topic: Topic) -> None:
    """What the view lacks is looked for in the topic's newest records."""
    topic.written.append(Project("p", 0))

    assert refused(topic, {"p"}) == [frozenset()]


def test_allowed_name_registers_itself(topic: Topic) -> None:
    """A name that a pattern allows becomes a project on first sight; another is refused."""
    topic.written.append(Pattern("etc-*", 0))

    assert refused(topic, {"etc-web1", "home-web1"}) == [frozenset({"home-web1"})]
    assert [entry.id for entry in topic.written if isinstance(entry, Project)] == ["etc-web1"]


def test_refused_project_is_not_looked_for_with_every_chunk(topic: Topic) -> None:
    """A publisher of an unknown project does not hold up its neighbours."""
    assert refused(topic, {"x"}, {"x"}, {"x"}) == [frozenset({"x"})] * 3
    assert topic.catch_ups == 1
