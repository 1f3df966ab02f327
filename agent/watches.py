"""The directories of one tree in memory, and the watch of each.

Holds no files. A directory that is renamed takes its descendants along without touching them: paths and
spines are made on demand from the way up, and remembered until the next rename.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.identity import VIRTUAL_ROOT_ID
from agent.patterns import Patterns


class Directory:
    """A directory of the tree; `key` is what the baseline's rows call it."""

    __slots__ = (
        "children",
        "file_id",
        "gone",
        "identity",
        "ignore",
        "key",
        "name",
        "parent",
        "path",
        "refused",
        "spine",
        "stamp",
        "wd",
    )

    def __init__(self, parent: Directory | None, name: bytes, key: int) -> None:
        self.parent = parent
        self.name = name
        self.key = key
        self.children: dict[bytes, Directory] = {}
        self.file_id: str | None = None
        self.identity: tuple[int, int, int] | None = None
        """Device, inode and birth time; None while it has not been seen on disk."""
        self.wd: int | None = None
        self.refused = False
        """It could not be watched or read when that was last tried: `agent.unwatched` has it."""
        self.gone = False
        self.ignore: Patterns | None = None
        """What its ignore file says, once that was read."""
        self.path = b""
        self.spine: list[str] = []
        self.stamp = -1


class Watches:
    """The tree of directories and its watch descriptors; the root is its first directory."""

    def __init__(self, root_key: int, root_id: str) -> None:
        self.root = Directory(None, b"", root_key)
        self.root.file_id = root_id
        self.directories = 1
        """How many there are, the root included."""
        self._by_wd: dict[int, Directory] = {}
        self._moves = 0

    def __len__(self) -> int:
        return len(self._by_wd)

    def of(self, wd: int) -> Directory | None:
        """Return the directory that a watch stands for, None for a watch that was given up."""
        return self._by_wd.get(wd)

    def add(self, parent: Directory, name: bytes, key: int) -> Directory:
        """Put a directory below `parent`."""
        directory = Directory(parent, name, key)
        parent.children[name] = directory
        self.directories += 1
        return directory

    def bind(self, directory: Directory, wd: int) -> None:
        """Note the watch of a directory."""
        directory.wd = wd
        self._by_wd[wd] = directory

    def unbind(self, directory: Directory) -> int | None:
        """Forget the watch of a directory and return it, None if it had none."""
        wd, directory.wd = directory.wd, None
        if wd is not None:
            del self._by_wd[wd]
        return wd

    def move(self, directory: Directory, parent: Directory, name: bytes) -> None:
        """Give a directory, with all below it, another place."""
        if directory.parent is not None:
            del directory.parent.children[directory.name]
        directory.parent, directory.name = parent, name
        parent.children[name] = directory
        self._moves += 1

    def remove(self, directory: Directory) -> list[int]:
        """Take a directory and all below it out of the tree; returns the watches that they had."""
        if directory.parent is not None:
            del directory.parent.children[directory.name]
        released = []
        for each in below(directory):
            each.gone = True
            self.directories -= 1
            wd = self.unbind(each)
            if wd is not None:
                released.append(wd)
        return released

    def path(self, directory: Directory) -> bytes:
        """Return the path of a directory relative to the root, `b""` for the root."""
        self._place(directory)
        return directory.path

    def spine(self, directory: Directory) -> list[str]:
        """Return the ids from the virtual root down to a directory; those not known are left out."""
        self._place(directory)
        return directory.spine

    def changed(self) -> None:
        """Note that a directory's id has changed: remembered spines are no longer right."""
        self._moves += 1

    def _place(self, directory: Directory) -> None:
        way = []
        each: Directory | None = directory
        while each is not None and each.stamp != self._moves:
            way.append(each)
            each = each.parent
        for each in reversed(way):
            above = each.parent
            each.stamp = self._moves
            each.path = join(above.path, each.name) if above else b""
            own = [each.file_id] if each.file_id else []
            each.spine = (above.spine if above else [VIRTUAL_ROOT_ID]) + own


def join(path: bytes, name: bytes) -> bytes:
    """Return the path of `name` in the directory at the relative `path`."""
    return path + b"/" + name if path else name


def below(directory: Directory) -> Iterator[Directory]:
    """Yield a directory and all below it, each before its children."""
    pending = [directory]
    while pending:
        each = pending.pop()
        yield each
        pending.extend(each.children.values())
