"""The hub's soak in small: what it is in full stands in `tests.soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.kafka import KafkaSettings
from tests.soak.drill import drill

pytestmark = pytest.mark.stack


def test_streams_that_were_left_and_resumed_are_the_topic(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Whatever is killed, however often a subscriber leaves: joined, its stream is the topic exactly."""
    found = drill(kafka, tmp_path, subscribers=24, seconds=10, seed=7)

    assert found.faults == []
    assert found.given > 0
    assert found.visits > 2 * 24
