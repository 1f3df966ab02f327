"""The time that a histogram covers."""

from __future__ import annotations

import pytest

from api.pages.histogram import BUCKETS, covering

_NOW_S = 1_795_000_000.0


def test_window_covers_what_is_asked_for() -> None:
    """A day is cut into whole steps, and nothing of it is left out."""
    over = covering(_NOW_S - 86_400, _NOW_S)

    assert over.from_s <= _NOW_S - 86_400
    assert over.to_s >= _NOW_S
    assert (over.to_s - over.from_s) / over.width_s <= BUCKETS + 2


@pytest.mark.parametrize(
    ("from_s", "to_s"),
    [
        (-2_208_988_800.0, _NOW_S),
        (_NOW_S, 10_413_791_999.0),
        (10_413_791_998.0, 10_413_791_999.0),
        (5.0, 1.0),
    ],
)
def test_window_of_far_years_is_one_that_the_database_knows(from_s: float, to_s: float) -> None:
    """Events of 1900 and of 2299 are allowed; a chart shows what fits into 32 bits of seconds."""
    over = covering(from_s, to_s)

    assert 0 <= over.from_s < over.to_s < 2**32
