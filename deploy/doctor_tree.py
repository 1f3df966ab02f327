"""How many directories a tree has, and whether this user may read them; bounded in time, follows no links."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from deploy.doctor_finding import Finding

LONGEST_S = 10.0


class Tree(NamedTuple):
    """What was counted; `more`: there was no time to see all of it."""

    directories: int
    unreadable: int
    more: bool = False

    @property
    def amount(self) -> str:
        """Return the number of directories in words."""
        return f"{'more than ' if self.more else ''}{self.directories:,}"


def count(root: Path, own: frozenset[str] = frozenset(), longest_s: float = LONGEST_S) -> Tree:
    """Count the directories from `root` down, itself included, without those that are fswire's own."""
    deadline = time.monotonic() + longest_s
    pending, directories, unreadable = [os.fspath(root)], 0, 0
    while pending:
        if time.monotonic() > deadline:
            return Tree(directories + len(pending), unreadable, more=True)
        path = pending.pop()
        directories += 1
        try:
            with os.scandir(path) as entries:
                pending += [each.path for each in entries if _is_directory(each) and each.path not in own]
        except OSError:
            unreadable += 1
    return Tree(directories, unreadable)


def readable(name: str, tree: Tree) -> Finding:
    """Say how large a tree is, and how much of it cannot be looked into."""
    said = f"{name} has {tree.amount} directories"
    if not tree.unreadable:
        return Finding("tree", "ok", said)
    todo = "run it as a user that may read them, or with CAP_DAC_READ_SEARCH (deploy/systemd does)"
    return Finding("tree", "warning", f"{said}, of which {tree.unreadable:,} cannot be read", todo)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
