"""Where a subscriber stands in each partition that it reads, and the opaque text in which it takes that away.

A position is all that another api process needs to go on exactly behind it.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import msgspec

from processors.position import BEFORE_ALL
from processors.position import Position as Src


class Mark(NamedTuple):
    """A place in one partition: everything below `offset` was read, and `src` is the highest that was."""

    offset: int
    src: Src = BEFORE_ALL

    def later(self, other: Mark) -> Mark:
        """Return the mark of who has come as far as both; repeats may stand behind what is higher."""
        return Mark(max(self.offset, other.offset), max(self.src, other.src))


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The marks of all partitions of one topic that a subscription reads."""

    vocabulary: str
    marks: dict[int, Mark]
    otherwise: Mark | None = None
    """For partitions without a mark; None: from now on."""

    def encode(self) -> str:
        """Return the text that `decode` takes: letters, digits, `-`, `_`."""
        return base64.urlsafe_b64encode(_encode(self)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Position:
        """Read what `encode` gave. Raises ValueError on anything else."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            return _decode(packed)
        except (ValueError, msgspec.MsgspecError) as error:
            raise ValueError("no position of a subscription") from error


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Position).decode
