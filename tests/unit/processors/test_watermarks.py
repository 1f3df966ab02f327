from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.event import Previous
from processors import watermarks
from processors.watermarks import Admission, Marks, Run, admit, gap_id, punch


def take(marks: Marks | None, run: Run, now_ms: int = 0) -> Admission:
    return admit("p", "a", marks, run, now_ms)


def run(first: int, events: int, epoch: str = "e1", previous: Previous | None = None) -> Run:
    return Run(epoch, first, events, 1_000 + first + events, previous)


def taken(admission: Admission, of: Run) -> list[int]:
    new = range(admission.first_new, of.events)
    return [of.first_seq + index for index in (*sorted(admission.late), *new)]


def test_consecutive_runs_are_all_new() -> None:
    """Numbers that follow one another are taken, and no hole opens."""
    first = take(None, run(1, 3))
    second = take(first.marks, run(4, 2))

    assert (first.first_new, second.first_new) == (0, 0)
    assert (first.opened, second.opened) == ((), ())
    assert second.marks.epochs[0].next == 6


def test_repeated_run_has_nothing_new() -> None:
    """A batch that was delivered twice is cut whole."""
    marks = take(None, run(1, 3)).marks

    again = take(marks, run(1, 3))

    assert taken(again, run(1, 3)) == []
    assert again.marks.epochs == marks.epochs


def test_overlap_is_cut_per_event() -> None:
    """Of a batch that repeats some events and brings others, the others are taken."""
    marks = take(None, run(1, 3)).marks

    assert taken(take(marks, run(2, 4)), run(2, 4)) == [4, 5]


def test_jump_opens_a_hole_that_says_since_when() -> None:
    """Numbers that never came are a hole, known since the last event before it."""
    marks = take(None, run(1, 3)).marks

    [opened] = take(marks, run(6, 1)).opened

    assert (opened.epoch, opened.hole.first, opened.hole.last) == ("e1", 4, 5)
    assert opened.hole.gap == gap_id("p", "a", "e1", 4)
    assert opened.since_ns == 1_004


def test_first_batch_that_never_came_is_a_hole() -> None:
    """An epoch that is first seen above its first number misses what is below."""
    admission = take(None, run(5, 1))

    assert [(each.hole.first, each.hole.last) for each in admission.opened] == [(1, 4)]
    assert taken(admission, run(5, 1)) == [5]


def test_numbering_from_zero_is_taken() -> None:
    """A publisher that counts from 0 loses nothing by it."""
    admission = take(None, run(0, 2))

    assert taken(admission, run(0, 2)) == [0, 1]
    assert admission.opened == ()


def test_hole_is_filled_late_and_its_gap_closes_at_the_last() -> None:
    """What fills a hole is taken as late; the event that fills the rest of it closes the gap."""
    marks = take(take(None, run(1, 1)).marks, run(5, 1)).marks
    gap = gap_id("p", "a", "e1", 2)

    middle = take(marks, run(3, 1))
    rest = take(middle.marks, run(1, 5))

    assert middle.late == {0: ()}
    assert rest.late == {1: (), 3: (gap,)}
    assert rest.first_new == 5
    assert rest.marks.epochs[0].holes == ()


def test_end_of_the_epoch_before_is_checked() -> None:
    """A new epoch says where the one before ended: what is missing of it is a hole of that epoch."""
    marks = take(None, run(1, 3)).marks

    admission = take(marks, run(1, 1, "e2", Previous("e1", 5)))

    assert [(each.epoch, each.hole.first, each.hole.last) for each in admission.opened] == [("e1", 4, 5)]
    assert taken(take(admission.marks, run(4, 2)), run(4, 2)) == [4, 5]


def test_epoch_that_was_never_seen_is_all_hole() -> None:
    """Where a known agent's whole epoch is missing, all its numbers are."""
    marks = take(None, run(1, 3)).marks

    admission = take(marks, run(1, 1, "e3", Previous("e2", 4)))

    assert [(each.epoch, each.hole.first, each.hole.last) for each in admission.opened] == [("e2", 1, 4)]


def test_epoch_before_that_is_complete_opens_nothing() -> None:
    """An epoch that ended where it was last seen, or earlier, misses nothing."""
    marks = take(None, run(1, 3)).marks

    assert take(marks, run(1, 1, "e2", Previous("e1", 3))).opened == ()
    assert take(marks, run(1, 1, "e2", Previous("e1", 0))).opened == ()
    assert take(None, run(1, 1, "e2", Previous("e1", 9))).opened == ()


def test_first_batch_with_an_epoch_before_may_begin_anywhere() -> None:
    """A batch that names the epoch before is its epoch's first: nothing is missing below it."""
    admission = take(None, run(7, 1, "e2", Previous("e1", 6)))

    assert admission.opened == ()


def test_old_epochs_are_forgotten() -> None:
    """Only the newest epochs of an agent are kept."""
    marks = None
    for number in range(watermarks.EPOCHS_KEPT + 3):
        marks = take(marks, run(1, 1, f"e{number}")).marks

    assert marks is not None
    assert len(marks.epochs) == watermarks.EPOCHS_KEPT
    assert marks.epochs[-1].id == "e10"


def test_holes_are_bounded() -> None:
    """An agent that makes ever more holes has the oldest given up, and that is told."""
    marks, given_up = None, 0
    for seq in range(2, 2 * watermarks.HOLES_KEPT + 10, 2):
        admission = take(marks, run(seq, 1))
        marks, given_up = admission.marks, given_up + admission.given_up

    assert marks is not None
    assert len(marks.epochs[0].holes) == watermarks.HOLES_KEPT
    assert given_up == 4


def test_punched_event_may_come_again() -> None:
    """An event that was taken out is a hole: its repeat is late, its neighbours' are repeats."""
    marks, hole = punch("p", "a", take(None, run(1, 5)).marks, "e1", 3)

    assert (hole.first, hole.last) == (3, 3)
    assert take(marks, run(1, 5)).late == {2: (hole.gap,)}


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[Run]]:
    """Numbers 1 to n in any batches, overlapping, repeated and out of order, each at least once."""
    last = draw(st.integers(1, 25))
    cuts = sorted(draw(st.sets(st.integers(2, last), max_size=6)) | {1, last + 1}) if last > 1 else [1, 2]
    whole = [run(low, high - low) for low, high in pairwise(cuts)]
    extra = draw(
        st.lists(st.tuples(st.integers(1, last), st.integers(1, 10)).map(lambda each: run(*each)), max_size=6)
    )
    cut = [each._replace(events=min(each.events, last + 1 - each.first_seq)) for each in extra]
    return last, draw(st.permutations(whole + cut))


@given(deliveries())
def test_any_delivery_yields_each_number_once(delivery: tuple[int, list[Run]]) -> None:
    """However batches overlap, repeat and overtake each other, every event is taken exactly once."""
    last, runs = delivery
    marks: Marks | None = None
    counted: Counter[int] = Counter()
    open_gaps: Counter[str] = Counter()
    for each in runs:
        admission = take(marks, each)
        marks = admission.marks
        counted.update(taken(admission, each))
        open_gaps.update(opened.hole.gap for opened in admission.opened)
        open_gaps.subtract(gap for gaps in admission.late.values() for gap in gaps)

    assert counted == Counter(range(1, last + 1))
    assert marks is not None
    assert (marks.epochs[0].next, marks.epochs[0].holes) == (last + 1, ())
    assert set(open_gaps.values()) <= {0}
