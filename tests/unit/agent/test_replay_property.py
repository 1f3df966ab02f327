"""Replaying what the agent reported yields the tree on disk, whatever was done to it at full speed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched

_names = st.sampled_from(["a", "b", "c", "new\nline", "bad\udcff", "x" * 255])
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)
_verbs = st.sampled_from(
    [
        "mkdir",
        "mkdir",
        "write",
        "write",
        "append",
        "rename",
        "rename",
        "unlink",
        "rmtree",
        "out",
        "in",
        "symlink",
        "chmod",
    ]
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

    def do(self, verb: str, one: str, other: str) -> None:
        with contextlib.suppress(OSError):
            getattr(self, f"_{verb}")(self.root / one, self.root / other)

    def _mkdir(self, path: Path, _: Path) -> None:
        path.mkdir(parents=True)

    def _write(self, path: Path, _: Path) -> None:
        self._writes += 1
        path.write_bytes(b"%d" % self._writes)

    def _append(self, path: Path, _: Path) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def _rename(self, path: Path, second: Path) -> None:
        path.rename(second)

    def _unlink(self, path: Path, _: Path) -> None:
        path.unlink()

    def _rmtree(self, path: Path, _: Path) -> None:
        shutil.rmtree(path)

    def _out(self, path: Path, _: Path) -> None:
        path.rename(self._outside / str(self._moved + 1))
        self._moved += 1

    def _in(self, path: Path, _: Path) -> None:
        (self._outside / str(self._moved)).rename(path)
        self._moved -= 1

    def _symlink(self, path: Path, _: Path) -> None:
        path.symlink_to("nowhere")

    def _chmod(self, path: Path, _: Path) -> None:
        path.chmod(0o700)


@settings(max_examples=60)
@given(before=_operations, during=_operations, down=_operations)
def test_replay_is_the_tree_on_disk(
    before: list[tuple[str, str, str]],
    during: list[tuple[str, str, str]],
    down: list[tuple[str, str, str]],
) -> None:
    """Before the first start, while it watches, while it is down: no path twice or missing, content right."""
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
