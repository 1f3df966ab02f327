"""The directories that `fswire up [NAME=]DIR …` watches, each with its project: checked before any start."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

from agent.paths import is_project_id

PROBE_PROJECT = "fswire-probe"
"""Of `fswire up` itself: see `deploy.probe`."""
TRANSFERS_PROJECT = "fswire-transfers"
"""Gets the events of fetched files, unless `FSWIRE_TRANSFERS_PROJECT` names another."""


class WatchedRefused(Exception):
    """These directories cannot be watched; the message names the one and says why."""


class Watched(NamedTuple):
    """A directory, absolute and without links, and the project that it is."""

    project: str
    directory: Path


def watched(arguments: Iterable[str], data_dir: Path) -> list[Watched]:
    """Return what the arguments name. WatchedRefused: one is no directory, or two are in each other's way.

    A data directory inside one of them is no hindrance: its agent leaves it out.
    """
    found = [_one(argument) for argument in arguments]
    for first, second in combinations(found, 2):
        _check_apart(first, second)
    for one in found:
        if one.directory.is_relative_to(data_dir.resolve()):
            raise WatchedRefused(
                f"{one.directory} lies inside the data directory {data_dir}, so that every write of fswire "
                "would be an event of its own: give another --data-dir"
            )
    return found


def project_of(directory: Path) -> str:
    """Return the project id made from a directory's name: accents dropped, other characters become `-`."""
    plain = unicodedata.normalize("NFKD", directory.name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).lstrip("_.-")[:128] or "root"


def _one(argument: str) -> Watched:
    name, equals, rest = argument.partition("=")
    if not equals or not name or "/" in name:
        name, rest = "", argument
    if not rest:
        raise WatchedRefused(f"{argument!r} names no directory")
    directory = Path(rest).expanduser()
    if not directory.is_dir():
        raise WatchedRefused(f"{rest} {'is not a directory' if directory.exists() else 'does not exist'}")
    directory = directory.resolve()
    name = name or project_of(directory)
    if not is_project_id(name) or name == PROBE_PROJECT:
        raise WatchedRefused(
            f"{name!r} cannot be a project's name: 1 to 128 letters, digits, '_', '.' and '-', the first a "
            f"letter or digit, and not {PROBE_PROJECT}"
        )
    return Watched(name, directory)


def _check_apart(first: Watched, second: Watched) -> None:
    if first.project == second.project:
        raise WatchedRefused(
            f"{first.directory} and {second.directory} would both be project {first.project}: "
            "give one a name of its own, NAME=DIR"
        )
    if any(one.is_relative_to(other) for one, other in permutations((first.directory, second.directory))):
        raise WatchedRefused(
            f"{first.directory} and {second.directory} lie one in the other: watch the outer one alone"
        )
