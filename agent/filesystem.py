"""Which type of file system a path lies on, and whether others may change it behind this kernel's back.

The type comes from `/proc/self/mountinfo` (proc_pid_mountinfo(5)); where there is none, it is unknown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")

_NETWORK = frozenset(  # a list literal is thirty lines
    (  # noqa: SIM905
        "9p acfs afs autofs beegfs ceph cifs coda fakeowner gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2"
        " orangefs panfs prl_fs pvfs2 smb3 smbfs vboxsf virtiofs vmhgfs wekafs"
    ).split()
)
"""Another machine, or the host of this one, changes files there, and this kernel does not tell."""
_LOCAL_FUSE = frozenset(("fuseblk", "fuse.cryfs", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs"))
"""Changed through their mount only; any other FUSE file system shows what changes somewhere else."""


def type_at(path: bytes, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that holds an absolute path, `""` if it cannot be told.

    Called at start, and where a scan comes upon another device. `mounts`: see proc_pid_mountinfo(5).
    """
    return os.fsdecode(_mount_at(path, mounts).kind)


def export_at(path: bytes, mounts: Path = _MOUNTS) -> str:
    """Return what names a network file system that holds an absolute path: its type, source and directory."""
    mount = _mount_at(path, mounts)
    if not is_network(os.fsdecode(mount.kind)):
        return ""
    return (b"%b:%b:%b" % (mount.kind, mount.source, mount.root)).decode(errors="backslashreplace")


def devices(mounts: Path = _MOUNTS) -> set[int]:
    """Return the devices that are mounted now."""
    return {mount.device for mount in _mounts(mounts)}


def is_network(kind: str) -> bool:
    """Tell whether a type's files may change without an event from this machine's kernel."""
    fuse = kind == "fuse" or kind.startswith("fuse.")
    return kind in _NETWORK or (fuse and kind not in _LOCAL_FUSE)


class _Mount(NamedTuple):
    point: bytes = b""
    device: int = 0
    root: bytes = b""
    kind: bytes = b""
    source: bytes = b""


def _mount_at(path: bytes, mounts: Path) -> _Mount:
    longest, found = -1, _Mount()
    for mount in _mounts(mounts):
        if len(mount.point) >= longest and _holds(mount.point, path):  # of mounts over one another the last
            longest, found = len(mount.point), mount
    return found


def _mounts(mounts: Path) -> Iterator[_Mount]:
    try:
        table = mounts.read_bytes()
    except OSError:
        return
    for line in table.splitlines():
        yield _parse(line)


def _parse(line: bytes) -> _Mount:
    """Return what one line says; type and source are the first fields behind the lone `-`."""
    before, _, after = line.partition(b" - ")
    device, root, point = before.split(b" ")[2:5]
    kind, source = after.split(b" ")[:2]
    major, _, minor = device.partition(b":")
    return _Mount(_unescaped(point), os.makedev(int(major), int(minor)), _unescaped(root), kind, source)


def _unescaped(field: bytes) -> bytes:
    return _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), field)


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")
