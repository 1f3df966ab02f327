"""Parts of a tree that somebody has asked for, and what has to be looked at for them; pure.

A path is relative to the tree's root, `b""` for the root itself. What lies on the way to a part is seen too,
for whatever happens to it happens to the part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from agent.filters import Chosen, Filter
from agent.view import View
from agent.watches import Directory, join


class Scope(NamedTuple):
    """A path with what is directly in it, or with all that is below it."""

    path: bytes
    recursive: bool


class Scopes:
    """Scopes by path; the same one may be asked for more than once."""

    def __init__(self) -> None:
        self._paths: Counter[bytes] = Counter()
        self._recursive: Counter[bytes] = Counter()
        self._ways: dict[bytes, Counter[bytes]] = {}
        """By directory on the way: the names that lead on."""

    def add(self, scope: Scope) -> None:
        """Ask for a scope."""
        self._paths[scope.path] += 1
        if scope.recursive:
            self._recursive[scope.path] += 1
        for directory, name in _way(scope.path):
            self._ways.setdefault(directory, Counter())[name] += 1

    def remove(self, scope: Scope) -> None:
        """Ask for it no longer."""
        _take(self._paths, scope.path)
        if scope.recursive:
            _take(self._recursive, scope.path)
        for directory, name in _way(scope.path):
            _take(self._ways[directory], name)
            if not self._ways[directory]:
                del self._ways[directory]

    def shows(self, path: bytes, *, is_dir: bool) -> bool:
        """Tell whether what happens at a path is to be reported."""
        if path in self._paths or (is_dir and path in self._ways):
            return True
        return bool(path) and (_parent(path) in self._paths or self._is_within(path))

    def names(self, path: bytes) -> list[bytes] | None:
        """Return the names to look at in a directory, None: all of them."""
        if path in self._paths or self._is_within(path):
            return None
        return sorted(self._ways.get(path, ()))

    def _is_within(self, path: bytes) -> bool:
        if not self._recursive:
            return False
        while path:
            if path in self._recursive:
                return True
            path = _parent(path)
        return b"" in self._recursive


class ScopeFilter(Filter):
    """Hides from a view what nobody has asked for."""

    def __init__(self, view: View, scopes: Scopes) -> None:
        super().__init__(view, Chosen())
        self._scopes = scopes

    def hides(self, directory: Directory, name: bytes, *, is_dir: bool) -> bool:
        """Tell whether a name in a directory is not reported."""
        return bool(name) and not self._scopes.shows(join(self._path(directory), name), is_dir=is_dir)

    def names(self, directory: Directory) -> list[bytes] | None:
        """Return the names to look at in a directory, None: all of them."""
        return self._scopes.names(self._path(directory))


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _way(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each directory above a path, with the name by which it leads there."""
    while path:
        path, _, name = path.rpartition(b"/")
        yield path, name


def _take(counts: Counter[bytes], key: bytes) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
