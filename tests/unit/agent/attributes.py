"""What tests set on files without the tools that are made for it: ACLs, named streams, flags."""

from __future__ import annotations

import array
import fcntl
import os
import struct
from pathlib import Path

import pytest

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 2**32 - 1
NODUMP = 0x40
_GET_FLAGS, _SET_FLAGS = 0x8008_6601, 0x4008_6602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h, on a 64-bit machine."""


def acl_bytes(*entries: tuple[int, int, int]) -> bytes:
    """Return the value of an ACL's extended attribute; an entry is tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


READABLE_BY_1000 = acl_bytes(
    (USER_OBJ, 6, NO_ID), (USER, 4, 1000), (GROUP_OBJ, 4, NO_ID), (MASK, 4, NO_ID), (OTHER, 0, NO_ID)
)
READABLE_BY_1000_TEXT = "user::rw-,user:1000:r--,group::r--,mask::r--,other::---"


def set_attribute(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute; skip the test on a file system that has none."""
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"{name} cannot be set here: {error.strerror}")


def toggle_flag(path: Path, flag: int) -> None:
    """Set or clear a flag of a file, as chattr(1) does; skip the test on a file system that has none."""
    with path.open("rb") as file:
        flags = array.array("l", [0])
        try:
            fcntl.ioctl(file, _GET_FLAGS, flags)
            flags[0] ^= flag
            fcntl.ioctl(file, _SET_FLAGS, flags)
        except OSError as error:
            pytest.skip(f"flags cannot be set here: {error.strerror}")
