"""Whose heartbeats `fswire agent retire` takes out."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from processors.retire import _note


@pytest.mark.parametrize(
    ("key", "agent", "taken"),
    [
        (b"agt_1/p", b"agt_1", True),
        (b"agt_1/racks/p", b"agt_1", False),
        (b"agt_1/racks/p", b"agt_1/racks", True),
        (b"session/p/evt_1", b"session", False),
        (b"session/p/evt_1", b"session/p", False),
    ],
)
def test_heartbeats_of_this_agent_alone_are_taken_out(key: bytes, agent: bytes, taken: bool) -> None:
    """An id may hold a `/`; the sessions beside the heartbeats are nobody's."""
    found: dict[bytes, TopicPartition] = {}

    _note(found, TopicPartition("agents", 0), key, b"{}", agent)

    assert (key in found) == taken
