"""A directory that is stormed, and the ledger: every operation on it, in order, by its path at that time."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Literal

Verb = Literal["create", "write", "attribute", "delete", "rename", "out", "in"]
STRUCTURE: frozenset[Verb] = frozenset(("create", "delete", "rename", "out", "in"))


@dataclass(slots=True)
class Operation:
    """One operation; `young`: in a directory that a watcher may not have been told of in time to watch it."""

    verb: Verb
    path: str
    to: str | None
    young: bool
    began_ns: int
    ended_ns: int


@dataclass
class Ground:
    """A watched `root` and an unwatched `outside` on the same file system; each operation holds `turn`."""

    root: Path
    outside: Path
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)
    operations: list[Operation] = field(default_factory=list)
    young: set[str] = field(default_factory=set)

    def settled(self) -> None:
        """Note that a watcher has taken in everything so far: it watches all directories."""
        self.young.clear()

    def mkdir(self, path: str) -> None:
        with self._noting("create", path):
            (self.root / path).mkdir()
        self.young.add(path)

    def mkdir_if_missing(self, path: str) -> None:
        """Make a directory that another process may be making at the same time."""
        self.young.add(path)
        with suppress(FileExistsError), self._noting("create", path):
            (self.root / path).mkdir()

    def create(self, path: str, content: bytes) -> None:
        with self._noting("create", path), (self.root / path).open("xb") as file:
            file.write(content)

    def write(self, path: str, content: bytes) -> None:
        with self._noting("write", path), (self.root / path).open("r+b") as file:
            file.truncate()
            file.write(content)

    def extract(self, archive: tarfile.TarFile, member: tarfile.TarInfo, below: str) -> None:
        path = f"{below}/{member.name}"
        with self._noting("create", path):
            archive.extract(member, self.root / below, filter="tar")
        if member.isdir():
            self.young.add(path)

    def link(self, path: str, to: str) -> None:
        with self._noting("create", path):
            (self.root / path).hardlink_to(self.root / to)

    def symlink(self, path: str, to: str) -> None:
        with self._noting("create", path):
            (self.root / path).symlink_to(to)

    def chmod(self, path: str, mode: int) -> None:
        with self._noting("attribute", path):
            (self.root / path).chmod(mode)

    def chown(self, path: str, user: int, group: int) -> None:
        with self._noting("attribute", path):
            os.chown(self.root / path, user, group)

    def utime(self, path: str, time_s: int) -> None:
        with self._noting("attribute", path):
            os.utime(self.root / path, (time_s, time_s))

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        with self._noting("attribute", path):
            os.setxattr(self.root / path, name, value)

    def rename(self, old: str, new: str) -> None:
        """Rename; what is at the new path is gone right before."""
        with self.turn:
            over = os.path.lexists(self.root / new)
            began_ns = time.time_ns()
            (self.root / old).rename(self.root / new)
            if over:
                self._note("delete", new, None, began_ns)
            self._note("rename", old, new, began_ns)
        if old in self.young:
            self.young.add(new)

    def move_out(self, path: str, name: str) -> None:
        with self._noting("out", path):
            (self.root / path).rename(self.outside / name)

    def move_in(self, name: str, path: str) -> None:
        with self._noting("in", path):
            (self.outside / name).rename(self.root / path)
        self.young.add(path)

    def delete(self, path: str) -> None:
        with self._noting("delete", path):
            (self.root / path).unlink()

    def rmdir(self, path: str) -> None:
        with self._noting("delete", path):
            (self.root / path).rmdir()

    def delete_tree(self, path: str) -> None:
        for directory, names, files in os.walk(self.root / path, topdown=False):
            below = os.path.relpath(directory, self.root)
            for name in files:
                self.delete(f"{below}/{name}")
            for name in names:
                link = (self.root / below / name).is_symlink()
                (self.delete if link else self.rmdir)(f"{below}/{name}")
        self.rmdir(path)

    @contextmanager
    def _noting(self, verb: Verb, path: str) -> Iterator[None]:
        with self.turn:
            began_ns = time.time_ns()
            yield
            self._note(verb, path, None, began_ns)

    def _note(self, verb: Verb, path: str, to: str | None, began_ns: int) -> None:
        young = bool(self.young) and self._is_young(path)
        self.operations.append(Operation(verb, path, to, young, began_ns, time.time_ns()))

    def _is_young(self, path: str) -> bool:
        above = path.rpartition("/")[0]
        return bool(above) and (above in self.young or self._is_young(above))


Part = Callable[[Ground, int], None]


def together(ground: Ground, part: Part, processes: int, *, in_turn: bool = False) -> None:
    """Run `part` in several processes at once; `in_turn`: an operation at a time, in an order that is known.

    `part` is told the number of its process; it is a function of a module, or a partial of one.
    """
    context = get_context("spawn")
    turn = context.RLock() if in_turn else nullcontext()
    start = (context.Barrier(processes), ground.root, ground.outside, turn)
    with ProcessPoolExecutor(processes, context, _enter, start) as pool:
        parts = list(pool.map(partial(_run, part, ground.young), range(processes)))
    ground.operations += sorted((each for part in parts for each in part), key=lambda each: each.ended_ns)


_barrier: Barrier
_ground: Ground
"""Of a process that `together` has started."""


def _enter(barrier: Barrier, root: Path, outside: Path, turn: AbstractContextManager[object]) -> None:
    global _barrier, _ground
    _barrier, _ground = barrier, Ground(root, outside, turn)


def _run(part: Part, young: set[str], number: int) -> list[Operation]:
    _barrier.wait()
    _ground.young = young
    part(_ground, number)
    return _ground.operations


def text(*parts: object) -> bytes:
    """Return some content that is like no other."""
    return b"%r\n" % (parts,)
