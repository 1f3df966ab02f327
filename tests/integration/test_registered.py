"""What an agent, and `fswire doctor`, learn from a real broker: its topics, and who is registered."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent import registered
from agent.kafka import KafkaSettings
from deploy import doctor_broker
from processors import registry
from processors.registry import Pattern, registered_now

pytestmark = pytest.mark.stack
PATIENCE_S = 120.0


@pytest.fixture
def own(kafka: KafkaSettings) -> KafkaSettings:
    """Settings with a prefix of this test's own, under which a registry is."""
    own = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})
    _create(own, registered.TOPIC)
    return own


def _create(own: KafkaSettings, name: str) -> None:
    async def create() -> None:
        admin = AIOKafkaAdminClient(**own.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(own.topic(name), 1, 1)])
            async with asyncio.timeout(PATIENCE_S):
                while own.topic(name) not in await admin.list_topics():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        finally:
            await admin.close()

    asyncio.run(create())


def test_agent_reads_the_registry(own: KafkaSettings) -> None:
    """Projects and patterns that the processors wrote are known, deleted ones are not."""

    async def scenario() -> registered.Names | None:
        await registry.write(own, registered_now("known"), registered_now("gone"), Pattern("etc-*", 1))
        await registry.delete(own, "project", "gone")
        return await registered.read(own, PATIENCE_S)

    names = asyncio.run(scenario())

    assert names is not None
    assert [names.knows(each) for each in ("known", "gone", "etc-h1", "home")] == [True, False, True, False]


def test_registry_that_is_missing_cannot_be_told(kafka: KafkaSettings) -> None:
    """A broker without the topic, or one that does not let us read it, costs seconds and nothing else."""
    missing = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})

    assert asyncio.run(registered.read(missing, longest_s=1)) is None


def test_doctor_looks_at_the_broker(own: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which topic is missing and who is not registered, with the command for each."""
    monkeypatch.setattr(doctor_broker, "_LONGEST_S", PATIENCE_S)
    monkeypatch.setattr(registered.read, "__defaults__", (PATIENCE_S,))

    async def examine() -> dict[str, tuple[str, str]]:
        findings = await doctor_broker.examine(own, ["strange"])
        return {finding.check: (finding.verdict, finding.todo) for finding in findings}

    without = asyncio.run(examine())
    _create(own, "raw")
    complete = asyncio.run(examine())

    assert without == {"broker": ("ok", ""), "topic": ("problem", "fswire topics apply")}
    assert complete["topic"] == ("ok", "")
    assert complete["project"] == ("warning", "fswire project create strange")
