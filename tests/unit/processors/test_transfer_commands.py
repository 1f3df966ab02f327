"""Records of `fswire.transfer-commands` as anybody may write them: read, or refused with a reason."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from agent.kafka import KafkaSettings
from processors import dead_letters, letters, topics, transfer_commands
from processors.clickhouse import ClickHouseSettings
from processors.dead_letters import DeadLetter, Parked
from processors.decode import Refusal
from processors.transfer_commands import Create, Fields


def test_command_is_read_as_it_was_written() -> None:
    """What is not there stays not there."""
    command = Create(command="c", at="2026-11-21T08:00:00.000000Z", fields=Fields(url="http://h/f"))

    assert transfer_commands.read(transfer_commands.encode(command)) == command


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"do":"create\xff"}', "not_json"),
        (b'{"do":"create","deep":' + b"[" * 100_000, "not_json"),
        (b"[]", "wrong_shape"),
        (b'{"do":"explode","command":"c","at":""}', "wrong_shape"),
        (b'{"do":"delete","command":"c","at":"","id":"one"}', "wrong_shape"),
        (b'{"do":"delete","command":"c","at":""}', "wrong_shape"),
    ],
)
def test_what_is_no_command_has_a_reason(value: bytes | None, reason: str) -> None:
    """Whatever stands in the topic, its reader goes on."""
    refusal = transfer_commands.read(value)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert refusal.detail


def test_parked_command_is_not_replayed() -> None:
    """Later commands were decided without it: whoever replays it is told so."""
    kafka = KafkaSettings()
    record = Parked(kafka.topic(topics.TRANSFER_COMMANDS), 0, 7, 1_000, None)
    parked = dead_letters.letter(record, b"{", Refusal("not_json", "why"))
    letter = letters.Letter(letters.Place(0, 1), msgspec.json.decode(parked, type=DeadLetter))

    with pytest.raises(letters.ReplayRefused, match="make the request again"):
        asyncio.run(letters.replay(letter, kafka, ClickHouseSettings()))

    assert (letter.value, letter.project, letters.aimed_at(letter)) == (b"{", "", "")
