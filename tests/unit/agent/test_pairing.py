"""Renames are made of the kernel's halves, in the kernel's order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.pairing import Move, Pairing
from agent.records import CREATE, DELETE, ISDIR, MOVED_FROM, MOVED_TO, Record


def _record(mask: int, name: bytes, cookie: int = 0, time_ns: int = 0) -> Record:
    return Record(1, mask, cookie, name, time_ns, 0)


def _queue(*records: Record) -> Pairing:
    pairing = Pairing()
    for record in records:
        pairing.add(record)
    return pairing


def test_pairing_adjacent_halves() -> None:
    """Two halves with one cookie are one rename."""
    old, new = _record(MOVED_FROM, b"a", 7), _record(MOVED_TO, b"b", 7)

    assert list(_queue(old, new).ready()) == [Move(old, new)]


def test_pairing_with_records_between() -> None:
    """A rename stands where its first half stood: what came between happened after it."""
    old, new = _record(MOVED_FROM, b"a", 7), _record(MOVED_TO, b"b", 7)
    between = _record(CREATE, b"a")

    assert list(_queue(old, between, new).ready()) == [Move(old, new), between]


def test_pairing_unpaired_first_half_holds_what_follows() -> None:
    """Nothing overtakes half a rename."""
    before, half, after = _record(CREATE, b"x"), _record(MOVED_FROM, b"a", 7), _record(DELETE, b"x")
    pairing = _queue(before, half, after)

    assert list(pairing.ready()) == [before]
    assert pairing.waiting


def test_pairing_given_up_is_a_move_out() -> None:
    """A half whose partner does not come has left the view, and all that was held follows."""
    half, after = _record(MOVED_FROM, b"a", 7), _record(DELETE, b"x")
    pairing = _queue(half, after)
    pairing.give_up(before_ns=0)

    assert list(pairing.ready()) == [Move(half, None), after]
    assert not pairing.waiting


def test_pairing_gives_up_only_what_is_old() -> None:
    """A half that was read later goes on waiting."""
    old, young = _record(MOVED_FROM, b"a", 7, time_ns=10), _record(MOVED_FROM, b"b", 8, time_ns=20)
    pairing = _queue(old, young)
    pairing.give_up(before_ns=15)

    assert list(pairing.ready()) == [Move(old, None)]
    assert pairing.waiting


def test_pairing_late_half_is_a_move_in() -> None:
    """A second half that comes after its first was given up is never guessed to be its partner."""
    old, new = _record(MOVED_FROM, b"a", 7), _record(MOVED_TO, b"b", 7)
    pairing = _queue(old)
    pairing.give_up(before_ns=0)
    pairing.add(new)

    assert list(pairing.ready()) == [Move(old, None), Move(None, new)]


@given(st.lists(st.tuples(st.sampled_from([MOVED_FROM, MOVED_TO, CREATE]), st.integers(1, 4)), max_size=30))
def test_pairing_keeps_every_record_once(script: list[tuple[int, int]]) -> None:
    """Whatever the kernel sends, every record comes out exactly once."""
    records = [_record(mask, b"%d" % index, cookie) for index, (mask, cookie) in enumerate(script)]
    pairing = _queue(*records)
    pairing.give_up(before_ns=0)
    found = []
    for item in pairing.ready():
        ends = [item.source, item.target] if isinstance(item, Move) else [item]
        found += [record for record in ends if record is not None]

    assert sorted(found) == sorted(records)


def test_pairing_counts_directories_that_come_and_go() -> None:
    """While one is held, a path may lead elsewhere by now; a rename within counts with both its ends."""
    made, old, new = (
        _record(CREATE | ISDIR, b"d"),
        _record(MOVED_FROM | ISDIR, b"a", 7),
        _record(MOVED_TO | ISDIR, b"b", 7),
    )
    pairing = _queue(made, _record(CREATE, b"f"), old, new)
    held = [pairing.directories for _ in pairing.ready()]

    assert held == [2, 2, 0]
    assert pairing.directories == 0


def test_pairing_tells_what_comes_next_for_a_name() -> None:
    """However many records are held of it."""
    masks = [CREATE, DELETE, CREATE]
    pairing = _queue(*(_record(mask, b"same") for mask in masks), _record(CREATE, b"other"))
    coming = [pairing.coming(1, b"same")] + [pairing.coming(1, b"same") for _ in pairing.ready()]

    assert coming == [*masks, 0, 0]


def test_pairing_destination_is_where_the_last_rename_leads() -> None:
    """What becomes of a name is followed through renames in a row, to a name that nothing else is told of."""
    chain = [
        _record(MOVED_FROM, b"a", 7),
        _record(MOVED_TO, b"b", 7),
        _record(CREATE, b"a"),
        _record(MOVED_FROM, b"b", 8),
        _record(MOVED_TO, b"c", 8),
    ]
    away = [_record(MOVED_FROM, b"c", 9), _record(DELETE, b"x")]

    assert _queue(*chain).destination(1, b"a") == chain[-1]
    assert _queue(_record(DELETE, b"a"), *chain).destination(1, b"a") is None
    assert _queue(*chain, _record(DELETE, b"c")).destination(1, b"a") is None
    assert _queue(*chain, *away).destination(1, b"a") is None
    assert _queue(*chain, *[_record(DELETE, b"c")] * 100).destination(1, b"a") is None
    assert _queue(*chain, *[_record(DELETE, b"x")] * 100).destination(1, b"a") == chain[-1]
