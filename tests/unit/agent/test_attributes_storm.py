"""Attributes that change faster than the agent looks, among writes and renames: it tells what is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from agent.event import Event
from tests.unit.agent.attributes import set_attribute
from tests.unit.agent.watched import Watched

Shown = dict[str, tuple[int, dict[str, int]]]
"""Path → permission bits, and the sizes of its named streams."""
NAMES = [f"f{number}" for number in range(30)]
STREAMS = ("user.a", "user.b", "user.c")


def act(root: Path, random: Random) -> None:
    """Do something to a file, if it is there."""
    file, other, stream = root / random.choice(NAMES), root / random.choice(NAMES), random.choice(STREAMS)
    value = random.randbytes(random.randrange(1, 50))
    acts: tuple[Callable[[], object], ...] = (
        lambda: file.write_bytes(value),
        lambda: file.write_bytes(value),
        lambda: os.setxattr(file, stream, value),
        lambda: os.setxattr(file, stream, value),
        lambda: os.removexattr(file, stream),
        lambda: file.chmod(random.choice((0o600, 0o640, 0o644))),
        lambda: file.rename(other),
        lambda: file.unlink(),
    )
    with contextlib.suppress(OSError):
        random.choice(acts)()


def on_disk(root: Path) -> Shown:
    """Return what is there."""
    return {
        file.name: (
            file.stat().st_mode & 0o7777,
            {name.removeprefix("user."): len(os.getxattr(file, name)) for name in _streams(file)},
        )
        for file in root.iterdir()
    }


def _streams(file: Path) -> list[str]:
    return [name for name in os.listxattr(file) if name in STREAMS]


def told(events: Iterable[Event]) -> Shown:
    """Return what events add up to."""
    shown: Shown = {}
    for event in events:
        if not event.path:
            continue
        if event.kind in ("rename", "delete"):
            before = shown.pop(event.path, None)
            if event.renamed_to and before:
                shown[event.renamed_to] = before
        if event.mode is not None:
            streams = {stream.name: stream.size for stream in event.streams or ()}
            shown[event.renamed_to or event.path] = event.mode, streams
    return shown


@pytest.mark.parametrize("seed", range(3))
def test_attributes_told_are_those_on_disk(seed: int, root: Path, tmp_path: Path) -> None:
    """Through two runs and what happened between them, every file has the attributes that were told last."""
    random = Random(seed)
    (root / NAMES[0]).write_bytes(b"")
    set_attribute(root / NAMES[0], STREAMS[0], b"1")

    for _ in range(2):
        with Watched(root, tmp_path / "state") as watched:
            for _ in range(600):
                act(root, random)
            watched.stop()
            assert told(watched.events()) == on_disk(root)
        for _ in range(100):
            act(root, random)
