"""What the agent reports of a storm adds up to the tree on disk, with the whole history or gaps that say so.

Small storms on a tmpfs; `FSWIRE_TEST_STORMS=full` makes them as large as the agent is meant for, which takes
half an hour.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.backends import BACKENDS, BackendRefused, choose
from agent.event import Event
from tests.storms import history, storms
from tests.storms.ground import Ground
from tests.storms.storms import Storm
from tests.storms.tree import on_disk, replay
from tests.storms.watcher import Watcher, agent, events, rage

SIZES = storms.FULL if os.environ.get("FSWIRE_TEST_STORMS") == "full" else storms.SMALL
STORMS = [pytest.param(storm, id=storm.__name__) for storm in SIZES]
QUEUE_EVENTS = 16_384
"""fs.inotify.max_queued_events and fs.fanotify.max_queued_events, as they are by default."""
MEMORY = Path("/dev/shm")
"""A tmpfs, where files are made fast enough for a storm."""


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Return a watched directory in memory, or on disk where the test asks for that."""
    above = None if getattr(request, "param", None) == "disk" or not MEMORY.is_dir() else MEMORY
    with tempfile.TemporaryDirectory(prefix="fswire-storm-", dir=above or tmp_path) as top:
        ground = Ground(Path(top, "root"), Path(top, "outside"))
        ground.root.mkdir()
        ground.outside.mkdir()
        yield ground


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, ground: Ground) -> str:
    """Return each way of watching that this machine has."""
    name: str = request.param
    try:
        choose(name, bytes(ground.root))
    except BackendRefused as error:
        pytest.skip(str(error))
    return name


def _watch(ground: Ground, directory: Path, backend: str) -> Watcher:
    return agent(ground, directory, backend, poll_every_s="0.5", settle_ms="1")


def _check(ground: Ground, said: list[Event], backend: str) -> None:
    """Hold what was said against the disk and the ledger."""
    told, there = replay(said), on_disk(ground.root)
    wrong = {path for path in told.keys() | there.keys() if told.get(path) != there.get(path)}
    assert not wrong, [event for event in said if event.path == min(wrong) or event.renamed_to == min(wrong)]
    assert history.not_overwritten(said) == []
    if not BACKENDS[backend].folded:  # renames that are told as one pass through paths that never were
        assert history.never_there(ground.operations, said) == set()
        assert history.missing(ground.operations, said) == []
        assert history.invented(ground.operations, said) == []


@pytest.mark.parametrize("storm", STORMS)
def test_storm_adds_up_to_the_tree_on_disk(
    storm: Storm, backend: str, ground: Ground, tmp_path: Path
) -> None:
    """The tree that the events add up to is the one on disk, and every operation is there in its order."""
    with _watch(ground, tmp_path, backend) as watcher:
        rage(storm, SIZES[storm], ground, watcher)
        watcher.stop()

    _check(ground, events(watcher.output.read_bytes()), backend)


@pytest.mark.parametrize(
    "storm", [pytest.param(each, id=each.__name__) for each in (storms.renames, storms.unpack)]
)
@pytest.mark.parametrize("ground", ["disk"], indirect=True)
def test_storm_on_disk_adds_up_too(storm: Storm, ground: Ground, tmp_path: Path) -> None:
    """A file system on a disk, with its own times and numbers, gives the same."""
    with _watch(ground, tmp_path, "inotify") as watcher:
        rage(storm, SIZES[storm], ground, watcher)
        watcher.stop()

    _check(ground, events(watcher.output.read_bytes()), "inotify")


@pytest.mark.parametrize(
    "storm", [pytest.param(each, id=each.__name__) for each in (storms.churn, storms.renames, storms.races)]
)
def test_storm_that_nobody_reads_overflows_into_a_gap(
    storm: Storm, backend: str, ground: Ground, tmp_path: Path
) -> None:
    """While the agent stands still the kernel's queue overflows: a gap says so, then the tree is right."""
    if backend == "watchfiles":
        pytest.skip("watchfiles does not tell that its queue has overflowed; a scheduled rescan finds it")
    with _watch(ground, tmp_path, backend) as watcher:
        for number, _ in enumerate(storm(ground, SIZES[storm])):
            watcher.quiet(ground)
            if not number:
                with watcher.held():
                    _overflow(ground)
        watcher.quiet(ground)
        watcher.stop()

    said = events(watcher.output.read_bytes())
    if BACKENDS[backend].queue_setting:
        assert [event.gap.reason for event in said if event.kind == "gap" and event.gap] == ["overflow"]
    _check(ground, said, backend)


def _overflow(ground: Ground) -> None:
    """Fill the queue with names: fanotify keeps one event of each, however much happens to it."""
    for number in range(QUEUE_EVENTS + 500):
        ground.create(f"more{number}", b"")
        ground.delete(f"more{number}")
