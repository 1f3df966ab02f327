"""Gives every inotify watch of a tree the mask that is asked for now, one at a time; no record is lost.

A watch is found by its directory's path, and that may have another name by now: its record is on the way, and
the directory is tried again later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.source import Source
from agent.view import View
from agent.watches import Directory, below

_MOST_TRIES = 10
"""So often a path may be another directory's before a watch keeps the mask that it has."""


def refresh_watches(inotify: Source, view: View) -> Iterator[None]:
    """Refresh the watches in steps, each done while no record is waiting."""
    pending = list(below(view.watches.root))
    for _ in range(_MOST_TRIES):
        left = []
        for directory in pending:
            if not _refresh(inotify, view, directory):
                left.append(directory)
            yield
        pending = left


def _refresh(inotify: Source, view: View, directory: Directory) -> bool:
    if directory.gone or directory.wd is None:
        return True
    with contextlib.suppress(OSError):
        wd = inotify.refresh(view.path(directory))
        if view.watches.of(wd) is None:
            inotify.remove(wd)
        return wd == directory.wd
    return False
