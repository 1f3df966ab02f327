"""Positions: what a subscriber takes away and another process reads."""

from __future__ import annotations

import pytest

from api.live_position import Mark, Position
from processors import topics
from processors.position import Position as Src


def test_position_survives_its_text() -> None:
    """The text names every partition, its offset and the highest src; it can stand in a header."""
    position = Position(topics.NOTIFY, {0: Mark(12, Src(7, 1, 0)), 11: Mark(0)})

    text = position.encode()

    assert Position.decode(text) == position
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["", "!", "AAAA", "ä", "k6Zub3RpZnk", "x" * 5000])
def test_position_of_no_subscription_is_refused(text: str) -> None:
    """Whatever else a client sends is a ValueError, never another error."""
    with pytest.raises(ValueError, match="position"):
        Position.decode(text)


def test_later_mark_is_as_far_as_both() -> None:
    """Repeats behind the highest `src` take nothing back: neither offset nor `src` is lower than it was."""
    assert Mark(3).later(Mark(5)) == Mark(5)
    assert Mark(5, Src(1, 0, 0)).later(Mark(5)) == Mark(5, Src(1, 0, 0))
    assert Mark(3, Src(9, 0, 0)).later(Mark(5, Src(4, 0, 0))) == Mark(5, Src(9, 0, 0))
    assert Mark(5, Src(4, 0, 0)).later(Mark(3, Src(9, 0, 0))) == Mark(5, Src(9, 0, 0))
