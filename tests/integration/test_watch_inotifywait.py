"""`fswire watch` beside inotifywait, on the same files at the same time: what the one saw, the other told."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.lacking import REQUIRED
from tests.integration.watch_client import LocalClient, local_client

_EVENTS = "create,delete,moved_from,moved_to,modify,close_write,attrib"
_OPERATIONS = 400


@pytest.fixture
def inotifywait(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The peer, watching a tree of three directories."""
    command = shutil.which("inotifywait")
    if command is None:
        (pytest.fail if REQUIRED else pytest.skip)("inotifywait is not installed")
    for name in ("a", "b", "c"):
        (tmp_path / "root" / name).mkdir(parents=True)
    arguments = [command, "-m", "-r", "-e", _EVENTS, "--format", "%e\t%w%f", str(tmp_path / "root")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "established" not in process.stderr.readline():
            assert process.poll() is None
        yield process
        process.kill()


def operate(root: Path, generator: random.Random) -> None:
    """Do something to a file in one of the directories."""
    source, target = (root / generator.choice("abc") / f"{generator.randrange(6)}" for _ in range(2))
    todo: list[Callable[[], object]] = [lambda: source.write_text("x" * generator.randrange(1, 100))]
    if source.exists():
        todo += [source.unlink, lambda: source.chmod(generator.choice((0o600, 0o644)))]
        todo += [lambda: source.rename(target)] if source != target else []
    generator.choice(todo)()


def seen_by_peer(process: subprocess.Popen[str], last: Path) -> list[tuple[str, str]]:
    """Return what the peer saw up to the making of a directory."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        names, _, path = line.rstrip("\n").partition("\t")
        seen.append((names.removesuffix(",ISDIR").split(",")[0], path))
        if path == str(last):
            return seen
    raise AssertionError("it ended")


def told(client: LocalClient, last: Path) -> list[tuple[str, ...]]:
    """Return what was told up to there, of an overwritten target nothing: the peer does not say it."""
    changes = []
    client.await_message(lambda payload: payload.get("path") == str(last))
    for message in client.messages():
        payload = message["payload"]
        details = payload.get("details", {})
        if details.get("extra") != "override":
            changes.append((payload["kind"], payload["path"], details.get("renamed", "")))
    return changes


def as_peer(changes: list[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return changes of names and ends of writing as the peer has them."""
    seen = []
    for kind, path, renamed in changes:
        if kind == "rename":
            seen += [("MOVED_FROM", path), ("MOVED_TO", renamed)]
        elif kind in ("create", "delete", "closeWrite"):
            seen.append(({"closeWrite": "CLOSE_WRITE"}.get(kind, kind.upper()), path))
    return seen


@pytest.mark.parametrize("seed", [1, 2])
def test_what_inotifywait_saw_was_told(tmp_path: Path, inotifywait: subprocess.Popen[str], seed: int) -> None:
    """The same names made, moved and gone, the same ends of writing, in the same order; nothing else."""
    root = Path(os.path.realpath(tmp_path)) / "root"
    generator = random.Random(seed)
    with local_client() as client:
        client.watch(root, recursive=True)
        for _ in range(_OPERATIONS):
            operate(root, generator)
        (root / "end").mkdir()
        changes = told(client, root / "end")

    seen = seen_by_peer(inotifywait, root / "end")
    of_names = [each for each in seen if each[0] not in ("MODIFY", "ATTRIB")]
    assert as_peer(changes) == of_names
    assert {path for kind, path, _ in changes if kind == "modify"} == {
        path for name, path in seen if name == "MODIFY"
    }
