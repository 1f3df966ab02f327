"""POSIX ACLs as text: the bytes of `system.posix_acl_access` in the short form of getfacl(1); pure.

Users and groups are numbers: names belong to the machine that the file is on. Entries are separated by
commas, so setfacl(1) takes the text as it is.
"""

from __future__ import annotations

import struct

_VERSION = 2
_HEAD = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
"""`struct posix_acl_xattr_entry` of linux/posix_acl_xattr.h: tag, permissions, id."""
_TAGS = {0x01: "user", 0x02: "user", 0x04: "group", 0x08: "group", 0x10: "mask", 0x20: "other"}
_PERMISSIONS = ("---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx")
_WITH_ID = frozenset((0x02, 0x08))
_IN_THE_MODE = frozenset((0x01, 0x04, 0x20))


def text(access: bytes | None, default: bytes | None = None) -> str:
    """Return an ACL and a directory's default ACL as text, `""` if there is nothing beyond the mode bits.

    ValueError: the bytes are no ACL of a version that is known.
    """
    entries = [] if access is None else _entries(access)
    if all(tag in _IN_THE_MODE for tag, _, _ in entries):
        entries = []
    inherited = [] if default is None else _entries(default)
    return ",".join([*map(_text, entries), *(f"default:{_text(entry)}" for entry in inherited)])


def _entries(value: bytes) -> list[tuple[int, int, int]]:
    if len(value) < _HEAD.size or _HEAD.unpack_from(value)[0] != _VERSION:
        raise ValueError(f"no POSIX ACL of version {_VERSION}")
    if (len(value) - _HEAD.size) % _ENTRY.size:
        raise ValueError("a POSIX ACL that ends within an entry")
    return list(_ENTRY.iter_unpack(value[_HEAD.size :]))


def _text(entry: tuple[int, int, int]) -> str:
    tag, bits, number = entry
    name = _TAGS.get(tag)
    if name is None:
        raise ValueError(f"a POSIX ACL with an entry of the unknown kind {tag:#x}")
    return f"{name}:{number if tag in _WITH_ID else ''}:{_PERMISSIONS[bits & 7]}"
