"""An agent's memory does not grow with the number of files: a row each in the journal, nothing beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import agent_scan

FEW, MANY = 5_000, 50_000
MOST_BYTES_PER_FILE = 100
"""Directories, one for 100 files here, are kept in memory; so a million files are 100 MB at the most."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory where there is one: ext4 takes a minute for so many files."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="fswire-") as directory:
        yield Path(directory)


def test_memory_does_not_grow_with_files(disk: Path) -> None:
    """Ten times the files, at the first start and at a later one: hardly more memory."""
    sizes = []
    for files in (FEW, MANY):
        root, state = disk / f"root{files}", disk / f"state{files}"
        agent_scan.make(root, files)
        sizes.append([agent_scan.scan(root, state).resident_bytes for _ in range(2)])

    growth = [(many - few) / (MANY - FEW) for few, many in zip(*sizes, strict=True)]
    assert max(growth) < MOST_BYTES_PER_FILE, sizes
