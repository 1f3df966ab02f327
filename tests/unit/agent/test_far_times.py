"""A file's times are what anybody sets them to: none of them may end an agent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import files
from agent.baseline import pack, unpack
from agent.files import State
from agent.hashing import Hasher

_LATEST, _EARLIEST = 2**63 - 1, -(2**63)
_SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("look", [files._look, files._lstat])
@pytest.mark.parametrize(("set_to_s", "seen_ns"), [(10_427_000_000, _LATEST), (-10_000_000_000, _EARLIEST)])
def test_time_beyond_64_bits_is_the_nearest_within(
    tmp_path: Path, look: Callable[[bytes], State], set_to_s: int, seen_ns: int
) -> None:
    """The years 2300 and 1653: kept, told and hashed as the nearest moment in nanoseconds of 64 bits."""
    path = tmp_path / "far"
    path.write_bytes(b"content")
    os.utime(path, ns=(set_to_s * _SECOND_NS, set_to_s * _SECOND_NS))
    if path.stat().st_mtime_ns != set_to_s * _SECOND_NS:
        pytest.skip("this file system keeps no such time")

    state = look(bytes(path))

    assert state.mtime_ns == seen_ns
    assert unpack(pack(state)) == state
    assert Hasher(1_000).digest(bytes(path), state).status == "ok"
    assert Hasher(1_000).digest(bytes(path), state).state.mtime_ns == seen_ns
