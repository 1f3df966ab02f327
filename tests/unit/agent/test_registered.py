"""What an agent takes the registry for is what the processors hold it to be."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent import registered
from agent.kafka import KafkaSettings
from agent.registered import Names
from processors import registry, topics
from processors.registry import Key, Pattern, Project, Registry

NAMES = st.text("ab-*?[]!", min_size=1, max_size=4)
ENTRIES = st.one_of(
    NAMES.map(lambda name: Project(name, 1)),
    NAMES.map(lambda name: Pattern(name, 1)),
    NAMES.map(lambda name: Key(name, "hash", [], [name], 1)),
)


def test_registry_is_the_same_topic() -> None:
    """The agent reads where the processors write."""
    assert registered.TOPIC == topics.REGISTRY


@given(st.lists(st.tuples(ENTRIES, st.booleans()), max_size=8), st.text("ab-", min_size=1, max_size=4))
def test_names_agree_with_the_registry(records: list[tuple[registry.Project, bool]], project: str) -> None:
    """After any records, deletions among them, both allow the same projects."""
    names, view = Names(), Registry(KafkaSettings())
    for entry, deleted in records:
        key = registry._key_of(entry)
        value = None if deleted else registry._encode(entry)
        names.take(key, value)
        view._take(key, value)

    if project[0] != "-":  # no project id
        assert names.knows(project) == view.allowed(project)


@pytest.mark.parametrize("key", [None, b"", b"project", b"\xff/x", b"workflow/p"])
def test_strange_records_are_passed_over(key: bytes | None) -> None:
    """What later versions put into the registry is none of the agent's business."""
    names = Names()
    names.take(key, b"{}")

    assert not names.knows("p")


def test_unknown_project_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning names the project and how to register it; a known one is not mentioned."""
    names = Names()
    names.take(b"pattern/etc-*", b"{}")

    async def read(_: KafkaSettings) -> Names:
        return names

    monkeypatch.setattr(registered, "read", read)
    with capture_logs() as lines:
        asyncio.run(registered.warn(KafkaSettings(), ["etc-h1", "home"]))

    (line,) = lines
    assert (line["event"], line["log_level"], line["project"]) == ("project_unknown", "warning", "home")
    assert line["register"] == "fswire project create home"


def test_registry_that_cannot_be_read_is_no_trouble() -> None:
    """Without a broker the agent cannot tell, says so quietly, and goes on."""
    with capture_logs() as lines:
        asyncio.run(registered.warn(KafkaSettings(bootstrap_servers="127.0.0.1:1"), ["p"]))

    assert [(line["event"], line["log_level"]) for line in lines] == [("registry_unreadable", "info")]
