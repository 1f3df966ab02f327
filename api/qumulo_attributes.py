"""A node of the virtual tree as Qumulo's clients read a file's attributes; what is unknown is null. Pure."""

from __future__ import annotations

from typing import Any

from api.tree_rows import Node, Row
from processors.instants import iso

_BLOCK_BYTES = 4096


def attributes(node: Node) -> dict[str, Any]:
    """Return the answer of `…/info/attributes`; numbers beyond 32 bits are strings, as everywhere there."""
    row = node.row
    size = row.size if row is not None and row.size is not None else 0
    blocks = -(-size // _BLOCK_BYTES)
    return {
        "path": node.path,
        "name": node.path.rpartition("/")[2],
        "num_links": 2 if node.is_dir else 1,
        "type": "FS_FILE_TYPE_DIRECTORY" if node.is_dir else "FS_FILE_TYPE_FILE",
        "major_minor_numbers": {"major": 0, "minor": 0},
        "symlink_target_type": "FS_FILE_TYPE_UNKNOWN",
        "file_number": node.file_id,
        "id": node.file_id,
        "mode": None if row is None or row.mode is None else f"0{row.mode:03o}",
        **_owners(row),
        "blocks": str(blocks),
        "datablocks": str(blocks),
        "metablocks": "0",
        "size": str(size),
        **_times(row),
        "child_count": None if node.is_dir else 0,
        "extended_attributes": _flags(row),
    }


def _owners(row: Row | None) -> dict[str, Any]:
    owners: dict[str, Any] = {}
    for name, kind, value in (
        ("owner", "NFS_UID", row.owner_uid if row else None),
        ("group", "NFS_GID", row.owner_gid if row else None),
    ):
        text = None if value is None else str(value)
        owners[name] = text
        owners[f"{name}_details"] = {"id_type": kind, "id_value": text}
    return owners


def _times(row: Row | None) -> dict[str, str | None]:
    return {
        "access_time": None,
        "modification_time": _moment(row.mtime_ns if row else None),
        "change_time": _moment(row.occurred_us * 1_000 if row else None),
        "creation_time": _moment(row.birth_ns if row else None),
    }


def _moment(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    return f"{iso(time_ns)[:-1]}{time_ns % 1000:03d}Z"


def _flags(row: Row | None) -> dict[str, bool]:
    flags = row.flags if row is not None else []
    names = ("archive", "compressed", "hidden", "not_content_indexed", "offline", "sparse_file", "system")
    return {
        "read_only": "immutable" in flags,
        "temporary": False,
        **{name: name in flags for name in names},
    }
