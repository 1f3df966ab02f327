"""What the kernel grants: inotify's limits for a user, fanotify, and a clock that someone sets right.

inotify(7): each user has so many instances and watches, each instance a queue of so many records. A watch
pins an inode in the kernel's memory; about 1 KiB together on 64-bit machines.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent import lock
from deploy.doctor_finding import Finding
from deploy.doctor_tree import Tree

_LIMITS = Path("/proc/sys/fs/inotify")
_WATCH_BYTES = 1080
"""An inotify_inode_mark of 80 bytes and an ext4 inode of some 1,000 that it keeps from being dropped."""
_SHORT_QUEUE = 16_384
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
_TIMEX_BYTES = 256
"""struct timex is 208 bytes."""


class InUse(NamedTuple):
    """What this user's processes hold already."""

    watches: int
    instances: int


def limits(needed: Tree, roots: int, others: InUse, directory: Path = _LIMITS) -> Iterator[Finding]:
    """Compare watches, instances and queue with what the trees need."""
    yield _watches(needed, others.watches, _limit(directory, "max_user_watches"))
    yield _instances(roots, others.instances, _limit(directory, "max_user_instances"))
    yield _queue(_limit(directory, "max_queued_events"))


def _watches(needed: Tree, others: int, limit: int) -> Finding:
    left = max(0, limit - others)
    covered = min(1.0, left / needed.directories)
    mebibytes = needed.directories * _WATCH_BYTES / 1024**2
    said = (
        f"{needed.amount} directories need as many watches, {mebibytes:.1f} MiB of kernel memory; "
        f"fs.inotify.max_user_watches = {limit}, {others} of them in use: coverage {covered:.0%}"
    )
    todo = _raise("max_user_watches", 1 << (2 * (needed.directories + others)).bit_length())
    if covered < 1:
        return Finding("watches", "problem", f"{said}; the rest would be polled", todo)
    if needed.more or 2 * needed.directories > left:
        return Finding("watches", "warning", f"{said}; the tree may outgrow it", todo)
    return Finding("watches", "ok", said)


def _instances(roots: int, others: int, limit: int) -> Finding:
    said = f"{roots} of fs.inotify.max_user_instances = {limit} are needed, {others} are in use"
    if roots + others > limit:
        todo = _raise("max_user_instances", max(128, 2 * (roots + others)))
        return Finding("instances", "problem", said, todo)
    return Finding("instances", "ok", said)


def _queue(limit: int) -> Finding:
    said = f"fs.inotify.max_queued_events = {limit}: more at once become a gap and a rescan"
    if limit < _SHORT_QUEUE:
        return Finding("queue", "warning", said, _raise("max_queued_events", _SHORT_QUEUE))
    return Finding("queue", "ok", said)


def _raise(name: str, value: int) -> str:
    line = f"fs.inotify.{name}={value}"
    return f"sysctl -w {line}; to keep it: echo {line} > /etc/sysctl.d/60-fswire.conf"


def _limit(directory: Path, name: str) -> int:
    return int((directory / name).read_text())


def in_use(state_dir: Path, processes: Path = Path("/proc")) -> InUse:
    """Count what this user holds of inotify, but for an agent that runs on `state_dir` already."""
    own = {lock.holder(each.parent) for each in state_dir.glob("*/lock")} | {os.getpid()}
    numbered = [each for each in processes.iterdir() if each.name.isdigit() and int(each.name) not in own]
    watches = [count for each in numbered for count in _held(each)]
    return InUse(sum(watches), len(watches))


def _held(process: Path) -> Iterator[int]:
    """Yield the watches of each instance of a process; another user's, or one that ends, has none here."""
    try:
        if process.stat().st_uid != os.geteuid():
            return
        for descriptor in (process / "fd").iterdir():
            if str(descriptor.readlink()) == "anon_inode:inotify":
                text = (process / "fdinfo" / descriptor.name).read_text()
                yield sum(line.startswith("inotify wd:") for line in text.splitlines())
    except OSError:
        return


def actors(root: Path, *, wanted: bool, backend: str) -> Iterator[Finding]:
    """Say whether events will tell who did it."""
    if sys.platform != "linux" or backend not in ("inotify", "fanotify"):
        return
    if not wanted and backend == "inotify":
        yield Finding("actors", "ok", "actors = false: events do not say who did it")
        return
    refusal = _fanotify_refusal(root)
    if refusal is None:
        yield Finding("actors", "ok", f"fanotify works on {root}: events say who did it")
        return
    said = f"fanotify does not work on {root}: {refusal}"
    todo = "give the agent CAP_SYS_ADMIN (deploy/systemd/actors.conf), or set actors = false"
    verdict = "problem" if backend == "fanotify" else "warning"
    yield Finding("actors", verdict, f"{said}; events do not say who did it", todo)  # type: ignore[arg-type]


def _fanotify_refusal(root: Path) -> str | None:
    from agent.fanotify import Fanotify

    try:
        Fanotify(os.fsencode(root), 0, lambda _: False).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def clock() -> Iterator[Finding]:
    """Say whether the kernel takes its clock to be right: adjtimex(2). Times of events are this machine's."""
    if sys.platform != "linux":
        return
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _UNSYNCHRONISED:
        todo = "timedatectl set-ntp true, or run chrony"
        yield Finding("clock", "warning", "nobody sets this machine's clock right: times may be wrong", todo)
    else:
        yield Finding("clock", "ok", "the clock is synchronised")
