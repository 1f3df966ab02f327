"""Marks of dead letters that were replayed: they name the letter, and hold nothing that could be replayed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from agent.kafka import KafkaSettings
from processors import dead_letters
from processors.clickhouse import ClickHouseSettings
from processors.dead_letters import DeadLetter, Parked
from processors.decode import Refusal
from processors.letters import Letter, Place, ReplayRefused, aimed_at, replay


def test_mark_names_its_letter_and_keeps_its_project() -> None:
    """So that whoever may see the one sees the other; its bytes stay in the letter."""
    record = Parked("fswire.raw", 2, 7, 1_700_000_000_000, b"p")
    parked = dead_letters.letter(record, b"bytes", Refusal("not_json", "why"), "4.0.0")
    letter = Letter(Place(3, 11), msgspec.json.decode(parked, type=DeadLetter))

    marked = dead_letters.mark(letter.content, "fswire.dead-letters", *letter.place, 1_700_000_001_000)

    mark = Letter(Place(3, 12), msgspec.json.decode(marked, type=DeadLetter))
    assert (letter.marks, mark.marks) == (None, letter.place)
    assert (mark.project, mark.value, mark.content.size) == (letter.project, None, 0) == ("p", None, 0)
    assert (letter.content.src, mark.content.src) == ("4.0.0", None)
    assert mark.content.received > letter.content.received


def test_batch_that_is_too_deep_is_none() -> None:
    """A replay would bring it where its key says; it is refused like any other text, and ends nothing."""
    deep = b'{"extra":' + b"[" * 5000 + b"]" * 5000 + b"}"
    record = Parked("fswire.raw", 2, 7, 1_700_000_000_000, b"p")
    parked = dead_letters.letter(record, deep, Refusal("not_json", "why"))
    letter = Letter(Place(3, 11), msgspec.json.decode(parked, type=DeadLetter))

    with pytest.raises(ReplayRefused, match="no batch"):
        asyncio.run(replay(letter, KafkaSettings(), ClickHouseSettings()))

    assert aimed_at(letter) == "p"
