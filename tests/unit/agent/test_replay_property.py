"""Replaying what the agent reported yields the tree on disk, whatever was done to it at full speed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched

_names = st.sampled_from([b"a", b"b", b"c", b"new\nline", b"bad\xff", b"x" * 255])
_paths = st.lists(_names, min_size=1, max_size=3).map(b"/".join)
_verbs = st.sampled_from(
    ["mkdir", "mkdir", "write", "write", "append", "rename", "rename", "unlink", "rmtree", "out", "in", "symlink", "chmod"]
)
_operations = st.lists(st.tuples(_verbs, _paths, _paths), min_size=1, max_size=60)


class _Playground:
    def __init__(self, top: Path) -> None:
        self.root = top / "root"
        self._outside = top / "outside"
        self.root.mkdir()
        self._outside.mkdir()
        self._moved = 0
        self._writes = 0

    def do(self, verb: str, one: bytes, other: bytes) -> None:
        path, second = (os.path.join(bytes(self.root), name) for name in (one, other))
        with contextlib.suppress(OSError):
            getattr(self, f"_{verb}")(path, second)

    def _mkdir(self, path: bytes, _: bytes) -> None:
        os.makedirs(path)

    def _write(self, path: bytes, _: bytes) -> None:
        self._writes += 1
        with open(path, "wb") as file:
            file.write(b"%d" % self._writes)

    def _append(self, path: bytes, _: bytes) -> None:
        with open(path, "ab") as file:
            file.write(b"more")

    def _rename(self, path: bytes, second: bytes) -> None:
        os.rename(path, second)

    def _unlink(self, path: bytes, _: bytes) -> None:
        os.unlink(path)

    def _rmtree(self, path: bytes, _: bytes) -> None:
        shutil.rmtree(path)

    def _out(self, path: bytes, _: bytes) -> None:
        os.rename(path, bytes(self._outside / str(self._moved + 1)))
        self._moved += 1

    def _in(self, path: bytes, _: bytes) -> None:
        os.rename(bytes(self._outside / str(self._moved)), path)
        self._moved -= 1

    def _symlink(self, path: bytes, _: bytes) -> None:
        os.symlink("nowhere", path)

    def _chmod(self, path: bytes, _: bytes) -> None:
        os.chmod(path, 0o700)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=_operations, during=_operations, down=_operations)
def test_replay_is_the_tree_on_disk(
    before: list[tuple[str, bytes, bytes]],
    during: list[tuple[str, bytes, bytes]],
    down: list[tuple[str, bytes, bytes]],
) -> None:
    """Before the first start, while it watches and while it is down: no path twice, none missing, content right."""
    with tempfile.TemporaryDirectory() as name:
        ground = _Playground(Path(name))
        for operation in before:
            ground.do(*operation)
        with Watched(ground.root, Path(name) / "state") as watched:
            for operation in during:
                ground.do(*operation)
            watched.stop()
            assert replay(watched.events()) == on_disk(ground.root)
        for operation in down:
            ground.do(*operation)
        with Watched(ground.root, Path(name) / "state") as watched:
            watched.stop()

            assert replay(watched.events()) == on_disk(ground.root)
