"""Changes without end below a directory, at random: what an agent must be able to follow, or mend."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

_MOST_FILES = 2000
_PAUSE_S = 0.002
"""After each few changes: some thousand a second, so that an agent is behind at times and not always."""


class Storm(threading.Thread):
    """Makes, writes, renames and deletes files and directories of its own until it is stopped."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__(name="storm", daemon=True)
        self._root = root
        self._chance = random.Random(seed)
        self._directories = [root]
        self._files: list[Path] = []
        self._made = 0
        self._over = threading.Event()

    def __enter__(self) -> Storm:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Change something, again and again."""
        steps = [self._create] * 6 + [self._write, self._rename, self._replace, self._delete] * 2
        steps += [self._make_directory, self._move_directory, self._delete_directory]
        while not self._over.wait(_PAUSE_S):
            for _ in range(self._chance.randrange(1, 20)):
                self._chance.choice([self._delete, *steps] if len(self._files) < _MOST_FILES else steps[6:])()

    def _new(self) -> Path:
        self._made += 1
        return self._chance.choice(self._directories) / f"n{self._made}"

    def _create(self) -> None:
        path = self._new()
        path.write_bytes(b"%d" % self._made)
        self._files.append(path)

    def _write(self) -> None:
        if self._files:
            self._chance.choice(self._files).write_bytes(self._chance.randbytes(100))

    def _rename(self) -> None:
        if self._files:
            index, path = self._chance.randrange(len(self._files)), self._new()
            self._files[index] = self._files[index].rename(path)

    def _replace(self) -> None:
        if self._files:
            path = self._new()
            path.write_bytes(b"new %d" % self._made)
            path.replace(self._chance.choice(self._files))

    def _delete(self) -> None:
        if self._files:
            self._files.pop(self._chance.randrange(len(self._files))).unlink()

    def _make_directory(self) -> None:
        path = self._new()
        path.mkdir()
        self._directories.append(path)
        for _ in range(self._chance.randrange(3)):
            self._files.append(path / f"f{len(self._files)}-{self._made}")
            self._files[-1].write_bytes(b"at once")

    def _move_directory(self) -> None:
        leaves = self._directories[1:]
        if leaves:
            old, new = self._chance.choice(leaves), self._root / f"m{self._made}"
            self._made += 1
            old.rename(new)
            self._directories = [_moved(path, old, new) for path in self._directories]
            self._files = [_moved(path, old, new) for path in self._files]

    def _delete_directory(self) -> None:
        leaves = self._directories[1:]
        if len(leaves) > 20:
            gone = self._chance.choice(leaves)
            shutil.rmtree(gone)
            self._directories = [path for path in self._directories if not path.is_relative_to(gone)]
            self._files = [path for path in self._files if not path.is_relative_to(gone)]


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new / path.relative_to(old) if path.is_relative_to(old) else path
