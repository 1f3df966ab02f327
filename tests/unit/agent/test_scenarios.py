"""Every backend that this machine has, held to one contract: what it tells adds up to what is there."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import files
from agent.backends import BACKENDS, Backend, BackendRefused, choose
from agent.event import Event
from tests.unit.agent.replay import on_disk, path_of, renamed_to, replay
from tests.unit.agent.scenarios import SCENARIOS, Scenario, Told, outside, turn_everything
from tests.unit.agent.watched import Watched, bring_back

_POLL_EVERY_S = 0.05
_SETTLE_MS = 100
_libc = ctypes.CDLL(None, use_errno=True)
_ALWAYS_TOLD = frozenset({"attribute"})


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def backend(request: pytest.FixtureRequest, root: Path) -> Backend:
    """Return each backend in turn that can be used on this machine."""
    found: Backend = request.param
    try:
        choose(found.name, bytes(root))
    except BackendRefused as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    """Return a directory on the same file system that nobody watches."""
    directory = tmp_path / "aside"
    directory.mkdir()
    return directory


def _watch(backend: Backend, root: Path, tmp_path: Path, **settings: Any) -> Watched:
    return Watched(root, tmp_path / "state", backend=backend.name, poll_every_s=_POLL_EVERY_S, **settings)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, backend: Backend, root: Path, aside: Path, tmp_path: Path) -> None:
    """What is told adds up to the tree, says what the backend can see, and names nothing that never was."""
    scenario.prepare(root, aside)
    settling = {"settle_ms": _SETTLE_MS} if scenario.settles else {}
    with _watch(backend, root, tmp_path, **settling) as watched:
        before = watched.until(lambda events: replay(events) == on_disk(root))[:]
        held = scenario.act(root, aside)
        needed = _needed(scenario, backend)
        watched.until(
            lambda events: needed <= set(_told(events[len(before) :])) and replay(events) == on_disk(root)
        )
        watched.stop()
        events = watched.events()
        if held is not None:
            held.close()

    assert replay(events) == on_disk(root)
    assert {path_of(event) for event in events if event.gap is None} <= _existed(before, scenario)
    if scenario.exact and not backend.folded:  # a file that stays open is told once in each window
        assert [told for told, _ in itertools.groupby(_told(events[len(before) :]))] == list(scenario.sees)


def test_restart(backend: Backend, root: Path, aside: Path, tmp_path: Path) -> None:
    """What happened while nobody watched is found at the next start, behind a gap that is closed after it."""
    outside(root, aside)
    with _watch(backend, root, tmp_path):
        pass
    turn_everything(root, aside)
    with _watch(backend, root, tmp_path) as second:
        events = second.until(lambda events: events[-1].kind == "gap_closed")

    assert replay(events) == on_disk(root)
    assert [(event.kind, event.gap.reason) for event in events if event.gap] == [
        ("gap", "agent_down"),
        ("gap_closed", "agent_down"),
    ]


def test_root_removed_and_back(backend: Backend, root: Path, aside: Path, tmp_path: Path) -> None:
    """A root that is gone is a gap; when it is back it is watched again, and the gap is closed."""
    outside(root, aside)
    with _watch(backend, root, tmp_path) as watched:
        shutil.rmtree(root)
        watched.until(lambda events: events[-1].kind == "gap")
        bring_back(root, new=b"new")
        watched.until(lambda events: events[-1].kind == "gap_closed")
        (root / "later").write_bytes(b"later")
        events = watched.until(lambda events: replay(events) == on_disk(root))

    assert on_disk(root).keys() == {b"new", b"later"} == replay(events).keys()


def test_root_renamed_and_replaced(backend: Backend, root: Path, aside: Path, tmp_path: Path) -> None:
    """Another directory in the root's place is the root from then on; the one that left is not watched."""
    outside(root, aside)
    with _watch(backend, root, tmp_path) as watched:
        root.rename(aside / "former")
        (aside / "tree").rename(root)
        watched.until(lambda events: events[-1].kind == "gap_closed")
        (aside / "former/unseen").touch()
        (root / "y").unlink()
        events = watched.until(lambda events: replay(events) == on_disk(root))

    assert not any("unseen" in event.path for event in events)


def test_unreadable_directory(
    backend: Backend, root: Path, aside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that cannot be listed is a gap; it is tried again, and the gap closed when it could be."""
    outside(root, aside)
    closed = [b"/d/e"]
    names = files.names

    def refusing(path: bytes) -> list[bytes]:
        if closed and path.endswith(closed[0]):
            raise PermissionError(13, "Permission denied", path)
        return names(path)

    monkeypatch.setattr(files, "names", refusing)
    with _watch(backend, root, tmp_path) as watched:
        watched.until(lambda events: any(event.kind == "gap" for event in events))
        closed.clear()
        events = watched.until(
            lambda events: replay(events) == on_disk(root) and events[-1].kind == "gap_closed"
        )

    assert [(event.kind, event.path) for event in events if event.gap] == [
        ("gap", "d/e"),
        ("gap_closed", "d/e"),
    ]


@pytest.fixture
def mounted(root: Path) -> Iterator[Callable[[Path], None]]:
    """Return what mounts a file system on a directory; left-overs are unmounted."""
    points: list[Path] = []

    def mount(point: Path) -> None:
        if _libc.mount(b"tmpfs", os.fsencode(point), b"tmpfs", 0, None) != 0:
            pytest.skip("this process may not mount")
        points.append(point)

    yield mount
    for point in points:
        unmount(point)


def unmount(point: Path) -> None:
    """Unmount, as soon as nobody is in there."""
    while _libc.umount2(os.fsencode(point), 0) != 0 and ctypes.get_errno() == errno.EBUSY:
        os.sched_yield()


def test_root_unmounted(
    backend: Backend, root: Path, tmp_path: Path, mounted: Callable[[Path], None]
) -> None:
    """When a root's file system is taken away, what lies under its mount point is the root."""
    (root / "below").write_bytes(b"below")
    mounted(root)
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    with _watch(backend, root, tmp_path) as watched:
        unmount(root)
        watched.until(lambda events: events[-1].kind == "gap_closed")
        (root / "later").write_bytes(b"later")
        events = watched.until(lambda events: replay(events) == on_disk(root))

    assert replay(events).keys() == {b"below", b"later"}


def test_mount_below_the_root_taken_away(
    backend: Backend, root: Path, tmp_path: Path, mounted: Callable[[Path], None]
) -> None:
    """When a file system below the root is taken away, what it held is deleted and what it hid is told."""
    if "mounts" not in backend.sees:
        pytest.skip(f"{backend.name} declares that it does not see this")
    (root / "m").mkdir()
    (root / "m/below").write_bytes(b"below")
    mounted(root / "m")
    (root / "m/d").mkdir()
    (root / "m/d/f").write_bytes(b"x")
    with _watch(backend, root, tmp_path) as watched:
        unmount(root / "m")
        (root / "m/later").write_bytes(b"later")
        events = watched.until(lambda events: replay(events) == on_disk(root))

    assert replay(events).keys() == {b"m", b"m/below", b"m/later"}


def _told(events: list[Event]) -> list[Told]:
    return [_tell(event) for event in events if event.gap is None]


def _tell(event: Event) -> Told:
    target = [os.fsdecode(renamed_to(event))] if event.renamed_to else []
    return event.kind, os.fsdecode(path_of(event)), *target


def _needed(scenario: Scenario, backend: Backend) -> set[Told]:
    """Return what a backend has to tell beside that which the tree itself proves."""
    if not scenario.exact:
        return set()
    if not backend.folded:
        return set(scenario.sees)
    kinds = _ALWAYS_TOLD | ({"closeWrite"} if "closes" in backend.sees else set())
    within = {each for each in scenario.sees if len(each) == 3 and "renames" in backend.sees}
    return ({each for each in scenario.sees if each[0] in kinds} | within) - scenario.foldable


def _existed(before: list[Event], scenario: Scenario) -> set[bytes]:
    """Return every path that ever was there: before, made or moved, some of them with their directory."""
    there = {path_of(event) for event in before}
    for told in scenario.sees:
        source, *target = [os.fsencode(path) for path in told[1:]]
        there.update((source, *target))
        for to in target:
            there |= {to + path[len(source) :] for path in there if path.startswith(source + b"/")}
    return there
