"""What the sink commits, and what it drops."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import plan as plans
from processors.plan import Mark, Plan
from processors.position import BEFORE_ALL, Position

_positions = st.builds(Position, st.integers(0, 50), st.integers(0, 3), st.integers(0, 3))
_marks = st.builds(
    Mark,
    st.one_of(st.just(BEFORE_ALL), _positions),
    st.one_of(
        st.none(), st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)).map(lambda p: Plan(*p))
    ),
)


@dataclass
class _Record:
    offset: int
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def _records(positions: list[Position]) -> list[_Record]:
    return [_Record(index, [("v", b"1"), ("src", str(src).encode())]) for index, src in enumerate(positions)]


@given(_marks)
def test_mark_comes_back_from_its_metadata(mark: Mark) -> None:
    """What is committed says the same to whoever takes over, within what Kafka holds."""
    metadata = plans.encode(mark)

    assert plans.decode(metadata) == mark
    assert len(metadata) < 4096


def test_decode_of_empty_metadata_is_the_beginning() -> None:
    """A commit that carries nothing is that of a partition nobody has read."""
    assert plans.decode("") == Mark()


@pytest.mark.parametrize("metadata", ["{", "[]", '{"src":"1"}', '{"plan":[1]}'])
def test_decode_of_other_text_is_refused(metadata: str) -> None:
    """Metadata that somebody else wrote are not taken for a mark."""
    with pytest.raises(ValueError):
        plans.decode(metadata)


@given(st.lists(_positions, max_size=30), _positions)
def test_fresh_keeps_exactly_what_rises(positions: list[Position], last: Position) -> None:
    """What is kept rises strictly from the last `src`, and everything dropped was at or below it."""
    kept, after = plans.fresh(_records(positions), last)

    srcs = [plans.src_of(record) for record in kept]
    assert srcs == sorted(set(srcs))  # type: ignore[type-var]
    assert all(src is not None and src > last for src in srcs)
    assert after == max([last, *positions])
    assert plans.last_src(kept, last) == after


@given(st.lists(_positions, max_size=30), _positions)
def test_fresh_in_two_steps_is_fresh_at_once(positions: list[Position], last: Position) -> None:
    """It does not matter where a chunk ends."""
    records = _records(positions)
    middle = len(records) // 2
    first, between = plans.fresh(records[:middle], last)
    second, after = plans.fresh(records[middle:], between)

    assert (first + second, after) == plans.fresh(records, last)


def test_fresh_keeps_records_without_src() -> None:
    """A record without a readable `src` repeats nothing that is known."""
    records = [_Record(1), _Record(2, [("src", b"x")]), _Record(3, [("src", b"1.2")])]

    assert plans.fresh(records, Position(9, 9, 9)) == (records, Position(9, 9, 9))
