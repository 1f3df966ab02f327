"""Bytes as hexadecimal and as text beside it, as hexdump(1) has them. Pure."""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 16


class Line(NamedTuple):
    """Sixteen bytes: where they begin, their digits, and what of them is printable ASCII."""

    offset: str
    digits: str
    text: str


def dump(data: bytes) -> list[Line]:
    """Return the lines of a dump."""
    return [_line(start, data[start : start + WIDTH]) for start in range(0, len(data), WIDTH)]


def _line(start: int, piece: bytes) -> Line:
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in piece)
    return Line(f"{start:08x}", piece.hex(" ").ljust(3 * WIDTH - 1), text)
