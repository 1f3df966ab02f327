"""What stands in an agent's way on this machine, found without changing anything, and what to do about it.

In flow an agent's settings; out flow findings, one a check: `ok`, `warning` (less than there could be, or
soon in trouble) or `problem` (something is not watched, not kept or not published).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from agent import backends, filesystem
from agent.kafka import KafkaSettings
from agent.settings import AgentSettings, RootSettings
from deploy import doctor_broker, doctor_kernel, doctor_tree
from deploy.doctor_finding import Finding
from deploy.doctor_tree import Tree

_MEBIBYTE = 1024**2
_LEAST_FREE_BYTES = 64 * _MEBIBYTE
_BY_KERNEL = ("inotify",)
"""Backends that need a watch for each directory."""


def examine(settings: AgentSettings, kafka: KafkaSettings, projects: Collection[str]) -> list[Finding]:
    """Return all findings, in the order in which an agent meets what they are about; takes some seconds.

    `projects`: names that the registry should know.
    """
    roots = settings.named_roots()
    return [
        *(finding for root in roots for finding in _root(settings, root)),
        *_trees(settings, roots),
        *_state(settings),
        *doctor_kernel.clock(),
        *([] if settings.stdout else asyncio.run(doctor_broker.examine(kafka, projects))),
    ]


def _root(settings: AgentSettings, root: RootSettings) -> Iterator[Finding]:
    name = str(root.dir)
    if not root.dir.is_dir():
        yield Finding(
            "root", "problem", f"{name} is no directory, or may not be looked at", "name another one"
        )
        return
    kind = filesystem.type_at(bytes(root.dir)) or "unknown"
    yield Finding("file system", "ok", f"{name} lies on {kind}")
    try:
        choice = backends.choose(settings.backend, bytes(root.dir))
    except backends.BackendRefused as error:
        yield Finding("backend", "problem", f"{name}: {error}", "backend = 'auto' takes what there is")
        return
    said = f"{name} would be watched by {choice.backend.name}: {choice.why}"
    if choice.unwanted:
        todo = (
            f"changes are found every {settings.poll_every_s:g} s: run the agent where the files are served"
        )
        yield Finding("backend", "warning", said, todo)
    else:
        yield Finding("backend", "ok", said)
    yield from doctor_kernel.actors(root.dir, wanted=settings.actors, backend=choice.backend.name)


def _trees(settings: AgentSettings, roots: tuple[RootSettings, ...]) -> Iterator[Finding]:
    """Count directories, and compare what they need with what the kernel grants to this user."""
    there = [root for root in roots if root.dir.is_dir()]
    trees = {root.dir: doctor_tree.count(root.dir, _own(settings)) for root in there}
    yield from (doctor_tree.readable(str(directory), tree) for directory, tree in trees.items())
    watched = [trees[root.dir] for root in there if _needs_watches(settings, root)]
    if watched:
        needed = Tree(sum(tree.directories for tree in watched), 0, any(tree.more for tree in watched))
        others = doctor_kernel.in_use(settings.state_dir)
        yield from doctor_kernel.limits(needed, len(watched), others)


def _needs_watches(settings: AgentSettings, root: RootSettings) -> bool:
    try:
        return backends.choose(settings.backend, bytes(root.dir)).backend.name in _BY_KERNEL
    except backends.BackendRefused:
        return False


def _own(settings: AgentSettings) -> frozenset[str]:
    return frozenset(os.path.realpath(each) for each in (settings.state_dir, *settings.own_dirs))


def _state(settings: AgentSettings) -> Iterator[Finding]:
    """Look at where the journals would be."""
    place = settings.state_dir.absolute()
    there = next(each for each in (place, *place.parents) if each.exists())
    if not there.is_dir() or not _may_write(there):
        todo = f"give {there} to the agent's user, or set state_dir"
        yield Finding("state", "problem", f"{place} cannot be written by this user", todo)
        return
    kind = filesystem.type_at(os.fsencode(there.resolve()))
    if filesystem.is_network(kind):
        todo = "set state_dir to a local disk: SQLite's write-ahead log needs one (sqlite.org/wal.html)"
        yield Finding("state", "problem", f"{place} lies on {kind}", todo)
    else:
        yield Finding("state", "ok", f"{place} can be written")
    yield _space(there, settings.journal_max_bytes * len(settings.roots))


def _may_write(directory: Path) -> bool:
    # With this process's capabilities, which access(2) leaves out where it is not asked to.
    effective = os.access in os.supports_effective_ids
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=effective)


def _space(there: Path, wanted_bytes: int) -> Finding:
    free_bytes = shutil.disk_usage(there).free
    free, wanted = free_bytes // _MEBIBYTE, wanted_bytes // _MEBIBYTE
    said = f"{free} MiB are free for journals that may grow to {wanted} MiB"
    if free_bytes < _LEAST_FREE_BYTES:
        return Finding("space", "problem", said, f"free some on the file system of {there}")
    if free_bytes < wanted_bytes:
        return Finding("space", "warning", said, "free some, or lower journal_max_bytes")
    return Finding("space", "ok", said)
