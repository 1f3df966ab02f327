"""What every view of a compacted topic promises, on a real broker: the registry and the transfers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings
from processors import registry, topics, transfer_records
from processors.followed import Followed
from processors.registry import Registry
from processors.transfer_records import Transfer
from processors.transfer_view import View
from tests.integration.normalizing import make_topics

pytestmark = pytest.mark.stack
AWAIT_S = 30
MOMENT = "2026-11-21T08:00:00.000000Z"


class Kind(NamedTuple):
    """One sort of view: its topic, an entry by its number, and which entries a view holds."""

    topic: str
    made: Callable[[KafkaSettings], Followed]
    entry: Callable[[int], tuple[bytes, bytes]]
    held: Callable[[Any], set[int]]


def project(number: int) -> tuple[bytes, bytes]:
    """Return the record of a project."""
    return f"project/p{number}".encode(), registry._encode(registry.Project(f"p{number}", 0))


def transfer(number: int) -> tuple[bytes, bytes]:
    """Return the record of a transfer."""
    value = Transfer(id=number, created=MOMENT, updated=MOMENT)
    return transfer_records.key_of(number), transfer_records.encode(value)


REGISTRY = Kind(
    topics.REGISTRY,
    Registry,
    project,
    lambda view: {int(each.id[1:]) for each in view.projects.values()},
)
TRANSFERS = Kind(topics.TRANSFERS, View, transfer, lambda view: set(view.transfers.rows))
Send = Callable[..., Awaitable[int]]
Scenario = Callable[[Followed, Send], Awaitable[None]]


@pytest.fixture(params=[REGISTRY, TRANSFERS], ids=["registry", "transfers"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each sort of view."""
    found: Kind = request.param
    return found


def play(kafka: KafkaSettings, kind: Kind, scenario: Scenario) -> Followed:
    """Play a scenario with a view of an empty topic and a way to write to it; return the view, stopped."""

    async def played() -> Followed:
        view, producer = kind.made(own), AIOKafkaProducer(**own.producer())
        await producer.start()

        async def send(*records: tuple[bytes, bytes | None]) -> int:
            """Return the offset behind the last."""
            for key, value in records:
                sent = await producer.send_and_wait(own.topic(kind.topic), value, key, partition=0)
            return int(sent.offset) + 1

        try:
            async with asyncio.timeout(60):
                await scenario(view, send)
        finally:
            await view.stop()
            await producer.stop()
        return view

    own = make_topics(kafka)
    return asyncio.run(played())


def test_view_holds_what_was_written_before(kafka: KafkaSettings, kind: Kind) -> None:
    """Once it has started; each entry as it was written last; and it stays readable once it has stopped."""

    async def scenario(view: Followed, send: Send) -> None:
        await send(kind.entry(1), kind.entry(2), kind.entry(3), (kind.entry(2)[0], None))
        await view.start()
        assert kind.held(view) == {1, 3}

    stopped = play(kafka, kind, scenario)

    assert kind.held(stopped) == {1, 3}


def test_view_catches_up_with_what_was_acknowledged(kafka: KafkaSettings, kind: Kind) -> None:
    """Whoever wrote it: after `catch_up`, or `reach` of its offset, it is there."""

    async def scenario(view: Followed, send: Send) -> None:
        await view.start()
        for number in range(1, 11):
            await send(kind.entry(number))
            await view.catch_up()
            assert number in kind.held(view)
        await view.reach(await send(kind.entry(11)))

    assert kind.held(play(kafka, kind, scenario)) == set(range(1, 12))


def test_view_wakes_whoever_waits(kafka: KafkaSettings, kind: Kind) -> None:
    """`changed` returns with the record that makes its condition hold."""

    async def scenario(view: Followed, send: Send) -> None:
        await view.start()
        waiting = asyncio.create_task(view.changed(lambda: 2 in kind.held(view)))
        await send(kind.entry(1))
        await view.catch_up()
        assert not waiting.done()
        await send(kind.entry(2))
        await waiting

    assert kind.held(play(kafka, kind, scenario)) == {1, 2}


def test_view_leaves_out_what_cannot_be_read(kafka: KafkaSettings, kind: Kind) -> None:
    """One record of a later version, or of nobody, hides none of the others."""

    async def scenario(view: Followed, send: Send) -> None:
        unreadable = (kind.entry(2)[0], b"{")
        await send(kind.entry(1), unreadable, (b"\xff", b"{}"), (b"", b""), kind.entry(3))
        await view.start()

    assert kind.held(play(kafka, kind, scenario)) == {1, 3}


def test_view_goes_on_behind_a_record_that_cannot_be_taken(
    kafka: KafkaSettings, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is of that record alone: nobody waits for ever for those behind it."""

    async def scenario(view: Followed, send: Send) -> None:
        take = view.take_record

        def taken(record: Any) -> None:
            if record.key == kind.entry(2)[0]:
                raise RuntimeError("nobody foresaw this")
            take(record)

        monkeypatch.setattr(view, "take_record", taken)
        await send(kind.entry(1), kind.entry(2), kind.entry(3))
        async with asyncio.timeout(AWAIT_S):
            await view.start()

    assert kind.held(play(kafka, kind, scenario)) == {1, 3}


def test_view_starts_again_after_it_was_stopped(kafka: KafkaSettings, kind: Kind) -> None:
    """What was written meanwhile is held; between the two nothing can be asked of it."""

    async def scenario(view: Followed, send: Send) -> None:
        await send(kind.entry(1))
        await view.start()
        await view.stop()
        await send(kind.entry(2))
        with pytest.raises(RuntimeError, match="not started"):
            await view.catch_up()
        await view.start()

    assert kind.held(play(kafka, kind, scenario)) == {1, 2}
