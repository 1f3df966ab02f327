"""How a file differs from what was last known of it; pure.

Two disjoint questions, because they become different events: what a write changes, and what chmod, chown and
touch change.
"""

from __future__ import annotations

from agent.baseline import Known
from agent.event import Changed, Former
from agent.files import State, flag_names

Difference = tuple[list[Changed], Former]


def of_content(known: Known, state: State, sha256: bytes | None) -> Difference:
    """Return which of data, size, mtime and btime differ, and the old values of those that can be told."""
    old = known.state
    if old is None:
        return ["data", "size", "mtime"], Former()
    changed: list[Changed] = []
    former = Former()
    if _data_differs(known, old, state, sha256):
        changed.append("data")
    if old.size != state.size:
        changed.append("size")
        former.size = old.size
    if old.mtime_ns != state.mtime_ns:
        changed.append("mtime")
        former.mtime_ns = old.mtime_ns
    if old.birth_ns > 0 and state.birth_ns > 0 and old.birth_ns != state.birth_ns:
        changed.append("btime")
        former.birth_ns = old.birth_ns
    return changed, former


def of_attributes(old: State | None, state: State, *, times: bool) -> Difference:
    """Return which of mode, uid, gid, acl, flags, streams and, with `times`, mtime and atime differ.

    With their old values, `""` and `[]` where there was none. Reading a file moves its atime too, so atime
    explains a change only where nothing else does.
    """
    changed: list[Changed] = []
    former = Former()
    if old is None:
        return changed, former
    if old.mode != state.mode:
        changed.append("mode")
        former.mode = old.mode & 0o7777
    if old.uid != state.uid:
        changed.append("uid")
        former.uid = old.uid
    if old.gid != state.gid:
        changed.append("gid")
        former.gid = old.gid
    _add_extended(old, state, changed, former)
    if times and not (changed and old.mtime_ns == state.mtime_ns):
        _add_times(old, state, changed, former)
    return changed, former


def _add_extended(old: State, state: State, changed: list[Changed], former: Former) -> None:
    """Compare what both know."""
    if old.flags is not None and state.flags is not None and old.flags != state.flags:
        changed.append("flags")
        former.flags = flag_names(old.flags)
    before, after = old.extended, state.extended
    if before is None or after is None or before is after:
        return
    if before.acl != after.acl:
        changed.append("acl")
        former.acl = before.acl
    if before.streams != after.streams:
        changed.append("streams")
        former.streams = list(before.streams)


def _add_times(old: State, state: State, changed: list[Changed], former: Former) -> None:
    if old.mtime_ns != state.mtime_ns:
        changed.append("mtime")
        former.mtime_ns = old.mtime_ns
    if old.atime_ns != state.atime_ns:
        changed.append("atime")
        former.atime_ns = old.atime_ns


def _data_differs(known: Known, old: State, state: State, sha256: bytes | None) -> bool:
    if sha256 is not None and known.sha256 is not None:
        return sha256 != known.sha256
    return (old.size, old.mtime_ns) != (state.size, state.mtime_ns)
