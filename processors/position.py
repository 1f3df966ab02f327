"""`src`: the place in `fswire.raw` from which a normalised record was made; rises within a partition."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """Raw offset, index of the event in its batch, index of the record within the event."""

    offset: int
    event: int
    record: int

    def __str__(self) -> str:
        return f"{self.offset}.{self.event}.{self.record}"

    @classmethod
    def parse(cls, text: str | bytes) -> Position:
        """Read the header's form, `offset.event.record`; ValueError if it is another."""
        offset, event, record = (text.decode() if isinstance(text, bytes) else text).split(".")
        return cls(int(offset), int(event), int(record))


BEFORE_ALL = Position(-1, -1, -1)
"""Below every position: nothing has been seen yet."""
