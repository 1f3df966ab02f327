"""The bytes of a read become records."""

from __future__ import annotations

import struct

from agent.records import CLOSE_WRITE, CREATE, MODIFY, WRITING, Chunk, parse


def _bytes(wd: int, mask: int, name: bytes) -> bytes:
    padded = name.ljust((len(name) // 16 + 1) * 16, b"\0")
    return struct.pack("iIII", wd, mask, 0, len(padded)) + padded


def _parsed(*records: bytes) -> list[tuple[int, int, bytes, int]]:
    found = parse(Chunk(b"".join(records), 0, 1000))
    return [(record.wd, record.mask, record.name, record.position) for record in found]


def test_records_of_a_save_are_one() -> None:
    """A write and the close right after it are one record, which stands where the close does."""
    made, written, closed = (_bytes(1, mask, b"f") for mask in (CREATE, MODIFY, CLOSE_WRITE))

    assert _parsed(made, written, closed) == [(1, CREATE, b"f", 1000), (1, WRITING, b"f", 1064)]


def test_records_of_other_files_are_not_merged() -> None:
    """Neither of another name, nor of the same name in another directory, nor one that begins alike."""
    for wd, name in ((1, b"g"), (2, b"f"), (1, b"f" * 20)):
        found = _parsed(_bytes(1, MODIFY, b"f"), _bytes(wd, CLOSE_WRITE, name))

        assert [mask for _, mask, _, _ in found] == [MODIFY, CLOSE_WRITE]


def test_records_at_the_end_of_a_read() -> None:
    """What follows in the next read is not waited for."""
    assert _parsed(_bytes(1, MODIFY, b"f")) == [(1, MODIFY, b"f", 1000)]
