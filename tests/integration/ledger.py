"""Ground truth: operations on a watched directory, each remembered, so that rows can be checked."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ledger:
    """Every operation done below `root`, by the event that it must become; and the tree that must remain."""

    root: Path
    created: Counter[str] = field(default_factory=Counter)
    written: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(path, sha256) of writes to files that existed before."""
    renamed: Counter[tuple[str, str]] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)

    def mkdir(self, path: str) -> None:
        (self.root / path).mkdir()
        self.created[path] += 1

    def create(self, path: str, content: bytes) -> None:
        with (self.root / path).open("xb") as file:
            file.write(content)
        self.created[path] += 1

    def write(self, path: str, content: bytes) -> None:
        with (self.root / path).open("r+b") as file:
            file.truncate()
            file.write(content)
        self.written[path, hashlib.sha256(content).hexdigest()] += 1

    def rename(self, old: str, new: str) -> None:
        assert not (self.root / new).exists()
        (self.root / old).rename(self.root / new)
        self.renamed[old, new] += 1

    def delete(self, path: str) -> None:
        (self.root / path).unlink()
        self.deleted[path] += 1

    def delete_tree(self, path: str) -> None:
        for directory, names, files in os.walk(self.root / path, topdown=False):
            for name in files:
                self.delete(self._below(directory, name))
            for name in names:
                self._rmdir(self._below(directory, name))
        self._rmdir(path)

    def copy_tree(self, source: Path, target: str) -> None:
        """Make `target` a copy of the directories and regular files below `source`."""
        self.mkdir(target)
        for directory, names, files in os.walk(source):
            names.sort()
            below = os.path.normpath(Path(target, os.path.relpath(directory, source)))
            for name in names:
                self.mkdir(f"{below}/{name}")
            for name in sorted(files):
                if not (Path(directory) / name).is_symlink():
                    self.create(f"{below}/{name}", (Path(directory) / name).read_bytes())

    def tree(self) -> dict[str, str | None]:
        """Return what is on disk now: path → sha256, None for a directory."""
        found: dict[str, str | None] = {}
        for directory, names, files in os.walk(self.root):
            found |= {self._below(directory, name): None for name in names}
            for name in files:
                content = (Path(directory) / name).read_bytes()
                found[self._below(directory, name)] = hashlib.sha256(content).hexdigest()
        return found

    def _rmdir(self, path: str) -> None:
        (self.root / path).rmdir()
        self.deleted[path] += 1

    def _below(self, directory: str, name: str) -> str:
        return os.path.relpath(Path(directory) / name, self.root)
