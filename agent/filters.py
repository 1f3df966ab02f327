"""Decides which paths of one root are reported: by settings' patterns, `.fswireignore` files, whose they are.

What settings exclude stays excluded, whatever an ignore file in the tree says. Ignore files are read when a
name beside or below them is first asked about; the nearest that speaks of a name decides, as git does.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import structlog

from agent.patterns import PatternRefused, Patterns, check, depends_on_place
from agent.reach import Reached
from agent.view import View
from agent.watches import Directory, below, join

if TYPE_CHECKING:
    from agent.settings import AgentSettings, RootSettings

_log = structlog.get_logger()
IGNORE_FILE = b".fswireignore"
_REMEMBERED = 4096
"""Verdicts that are remembered: the records of one file mostly come together."""
_MAX_FILE_BYTES = 1024 * 1024
_NO_PATTERNS = Patterns(())


class Chosen(NamedTuple):
    """The patterns of one root, those of all roots before its own."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def chosen(settings: AgentSettings, root: RootSettings) -> Chosen:
    """Return the patterns that hold for a root."""
    return Chosen(settings.include + root.include, settings.exclude + root.exclude)


class Filter:
    """The filter of one root; asked on the watching thread about every record and every entry of a listing.

    `own`: paths relative to the root that are no business of anyone's.
    """

    def __init__(
        self, view: View, chosen: Chosen, *, own: Iterable[bytes] = (), ignore_files: bool = False
    ) -> None:
        self.rules = (*chosen, ignore_files)
        """What a setting can change about it."""
        self.reads_files = ignore_files
        self.depends_on_place = ignore_files or depends_on_place(chosen.include + chosen.exclude)
        """The rename of a directory may change which of the paths below it are reported."""
        self.dropped = 0
        """How often something was hidden since the last `count`."""
        self._view = view
        self._path = view.watches.path
        self.own = frozenset(own)
        self._include = Patterns(chosen.include) if chosen.include else None
        self._exclude = Patterns(chosen.exclude) if chosen.exclude else None
        self._idle = not (chosen.include or chosen.exclude or self.own or ignore_files)
        self._verdict = functools.lru_cache(maxsize=_REMEMBERED)(self._judge)

    def hides(self, directory: Directory, name: bytes, *, is_dir: bool) -> bool:
        """Tell whether a name in a directory is not reported."""
        if self._idle or not name:
            return False
        path = join(self._path(directory), name)
        hidden = path in self.own or self._verdict(path, is_dir)
        hidden = hidden or (self.reads_files and self._is_ignored(directory, name, is_dir=is_dir))
        self.dropped += hidden
        return hidden

    def count(self) -> int:
        """Return how often something was hidden since this was last asked."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def forget(self, directory: Directory) -> None:
        """Read the directory's ignore file again when it is next needed."""
        directory.ignore = None

    def forget_all(self) -> None:
        """Read all ignore files again when they are next needed."""
        for directory in below(self._view.watches.root):
            directory.ignore = None

    def _judge(self, path: bytes, is_dir: bool) -> bool:
        if self._exclude is not None and self._exclude.verdict(path, is_dir=is_dir):
            return True
        return self._include is not None and not is_dir and not self._include.verdict(path, is_dir=False)

    def _is_ignored(self, directory: Directory, name: bytes, *, is_dir: bool) -> bool:
        relative = name
        for each in _upwards(directory):
            if each.ignore is None:
                each.ignore = self._read(each)
            if each.ignore is not _NO_PATTERNS:
                verdict = each.ignore.verdict(relative, is_dir=is_dir)
                if verdict is not None:
                    return verdict
            relative = join(each.name, relative)
        return False

    def _read(self, directory: Directory) -> Patterns:
        path = self._view.path(directory, IGNORE_FILE)
        try:
            with self._view.own.access((directory, IGNORE_FILE)):
                lines = _lines(path)
        except (FileNotFoundError, NotADirectoryError):
            return _NO_PATTERNS
        except OSError as error:
            _log.warning("ignore_file_unreadable", path=os.fsdecode(path), error=error.strerror)
            return _NO_PATTERNS
        return Patterns(_usable(lines, path))


def _lines(path: bytes) -> list[str]:
    """Read an ignore file; neither a link nor anything but a regular file is followed or waited for."""
    with Reached(path) as near:
        descriptor = os.open(near, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        lines = os.fsdecode(file.read(_MAX_FILE_BYTES)).split("\n")
    return [line.removesuffix("\r") for line in lines]


def _usable(lines: Iterable[str], path: bytes) -> Iterator[str]:
    """Yield the patterns of an ignore file; one that cannot be used hides nothing, and is said."""
    for line in lines:
        try:
            check(line)
        except PatternRefused as error:
            _log.warning("ignore_pattern_refused", path=os.fsdecode(path), error=str(error))
        else:
            yield line


def _upwards(directory: Directory) -> Iterator[Directory]:
    each: Directory | None = directory
    while each is not None:
        yield each
        each = each.parent


def own_paths(settings: AgentSettings, root: bytes) -> Iterator[bytes]:
    """Yield the agent's and fswire's own directories that lie below the root, relative to it."""
    above = root.rstrip(b"/") + b"/"
    for directory in (settings.state_dir, *settings.own_dirs):
        path = os.fsencode(os.path.realpath(directory))
        if path.startswith(above):
            yield path[len(above) :]
