"""The checker of `make chaos` against falsified input: each way in which something can be wrong is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.checker import Checker, Row, Run, Seen
from tests.chaos.load import Agent
from tests.chaos.model import File, Model, Rule

RULES = (Rule("w", "modified", "hot-"),)
A, B = "a" * 64, "b" * 64


def model(*batches: dict[str, object]) -> Model:
    """Return what must come of these batches in one partition."""
    found = Model(RULES)
    for offset, batch in enumerate(batches):
        found.take(0, offset, batch)
    return found


def batch(first_seq: int, *events: dict[str, object], agent: str = "agt_1") -> dict[str, object]:
    return {"project": "p", "agent": agent, "epoch": "e1", "first_seq": first_seq, "events": list(events)}


def written(path: str, sha256: str = A) -> dict[str, object]:
    return {"kind": "closeWrite", "path": path, "sha256": sha256, "size": 3}


def renamed(path: str, to: str, *, is_dir: bool = False) -> dict[str, object]:
    return {"kind": "rename", "path": path, "renamed_to": to, "is_dir": is_dir}


HISTORY = model(
    batch(1, written("d/f"), written("d/hot-1"), written("d/f")),
    batch(2, written("d/hot-1"), written("d/f"), written("d/hot-1", B)),
)


def seen() -> list[Seen]:
    """Return a topic that is as it should be."""
    return [Seen(0, (*each.src, 0), each.identity, f"evt_{each.identity[3]}", nth) for nth, each in told()]


def rows() -> list[Row]:
    return [
        Row(0, (*each.src, 0), each.identity, f"evt_{each.identity[3]}", *each[3:7]) for _, each in told()
    ]


def told() -> list[tuple[int, object]]:
    return list(enumerate(HISTORY.told))


def runs() -> list[Run]:
    return [Run(f"run_{seq}", "w", f"evt_{seq}", "succeeded") for seq in (2, 4)]


def checker() -> Checker:
    return Checker(HISTORY.told, HISTORY.files)


def swapped(found: list[object]) -> None:
    found[1], found[2] = found[2], found[1]


WAYS: dict[str, Callable[[list[object]], object]] = {
    "missing": lambda found: found.pop(2),
    "more than once": lambda found: found.append(found[1]),
    "out of order": swapped,
    "nobody asked for it": lambda found: found.append(found[0]._replace(identity=("p", "agt_1", "e1", 9))),
    "another src": lambda found: found.__setitem__(3, found[3]._replace(src=(7, 7, 0))),
    "another event id": lambda found: found.append(found[1]._replace(event_id="evt_9")),
    "an event id of two events": lambda found: found.__setitem__(3, found[3]._replace(event_id="evt_1")),
}


def test_model_is_what_it_is_tested_with() -> None:
    """The second batch overlaps the first; same content again is a duplicate and starts no run."""
    assert [each.identity[3] for each in HISTORY.told] == [1, 2, 3, 4]
    assert [each.src for each in HISTORY.told] == [(0, 0), (0, 1), (0, 2), (1, 2)]
    assert [each.duplicate for each in HISTORY.told] == [False, False, True, False]
    assert [each.runs for each in HISTORY.told] == [(), ("w",), (), ("w",)]
    assert HISTORY.files == {"p": {"d/f": File(False, A), "d/hot-1": File(False, B)}}


def test_model_takes_the_files_of_a_renamed_directory_along() -> None:
    """Those of a deleted one are gone; what only begins like its name stays."""
    events = (written("d/f"), written("dx"), renamed("d", "e", is_dir=True), renamed("e/f", "e/g"))
    gone = {"kind": "delete", "path": "old", "is_dir": True}

    found = model(batch(1, *events, written("old/f"), gone)).files["p"]

    assert found == {"dx": File(False, A), "e": File(True, None), "e/g": File(False, A)}


def test_model_refuses_a_load_that_leaves_numbers_out() -> None:
    """Then nothing that follows would prove anything."""
    with pytest.raises(ValueError, match="left out"):
        model(batch(2, written("f")))


def test_agents_send_every_number_and_repeat_some() -> None:
    """In each epoch from one on, in order, whatever is delivered twice or overlaps."""
    found, sent = Model(), 0
    for number in (0, 1):
        for offset, each in enumerate(Agent(number, 1).batches(5_000, 50)):
            found.take(0, offset, each)
            sent += len(each["events"])

    assert len(found.told) == 10_000
    assert sent > 10_500
    assert {each.identity[0] for each in found.told} == {"chaos-00"}
    assert sum(each.duplicate for each in found.told) > 100


def test_nothing_is_found_where_all_is_right() -> None:
    """In a topic, rows, sums, files, runs and at a target that got one event twice by one id."""
    right = checker()

    right.topic("t", seen())
    right.rows(rows())
    right.activity({("p", "modified"): (4, 1, 12)})
    right.files("files", {("p", path): file for path, file in HISTORY.files["p"].items()})
    right.runs("runs", runs())
    right.target("w", [("1", "evt_2"), ("1", "evt_2"), ("2", "evt_4")])

    assert not right.faults, str(right.faults)


@pytest.mark.parametrize("fault", WAYS)
def test_falsified_rows_are_found(fault: str) -> None:
    """A row that is missing, doubled, moved, foreign, or says another place or id."""
    wrong, found = checker(), rows()
    WAYS[fault](found)

    wrong.rows(found)

    assert f"events: {fault}" in wrong.faults.count


@pytest.mark.parametrize("fault", [each for each in WAYS if each != "out of order"])
def test_falsified_topics_are_found(fault: str) -> None:
    """The same of what a subscriber keeps of a topic: what is too much is there at a `src` above the last."""
    wrong, found = checker(), seen()
    WAYS[fault](found)
    found[4:] = [each._replace(src=(9, 0, 0)) for each in found[4:]]

    wrong.topic("t", found)

    assert f"t: {fault}" in wrong.faults.count


def test_events_in_another_order_are_found_in_a_topic() -> None:
    """Their `src` rises, as if two raw records had changed places."""
    wrong, found = checker(), seen()
    found[1], found[2] = found[2]._replace(src=found[1].src), found[1]._replace(src=found[2].src)

    wrong.topic("t", found)

    assert "t: out of order" in wrong.faults.count


def test_chunk_made_again_must_be_the_same() -> None:
    """A repeat below the last `src` is dropped, but what it says must not differ."""
    right, wrong, found = checker(), checker(), seen()

    right.topic("t", [*found, *found[1:]])
    wrong.topic("t", [*found, found[1]._replace(value="x")])

    assert not right.faults, str(right.faults)
    assert list(wrong.faults.count) == ["t: another record at the same src"]


def test_wrong_flag_and_wrong_sum_are_found() -> None:
    """A duplicate that is not flagged, and one event too many in a minute."""
    wrong, found = checker(), rows()
    found[2] = found[2]._replace(duplicate=False)

    wrong.rows(found)
    wrong.activity({("p", "modified"): (5, 1, 12)})

    assert list(wrong.faults.count) == ["events: duplicate flagged wrongly", "activity: another sum"]


def test_wrong_tree_is_found() -> None:
    """A path too many, one too few, and content that is not the last."""
    wrong = checker()

    wrong.files("files", {("p", "d/hot-1"): File(False, A), ("p", "x"): File(False, A)})

    assert set(wrong.faults.count) == {
        "files: missing",
        "files: is there no more",
        "files: another state",
    }


def test_wrong_runs_are_found() -> None:
    """One too many for an event, one that nobody asked for, one that is missing, one that never ended."""
    wrong, (first, second) = checker(), runs()
    wrong.topic("t", seen())

    wrong.runs("runs", [first, first._replace(identity="run_x"), second._replace(event_id="evt_1")])
    wrong.runs("open", [first, second._replace(state="queued")])

    assert set(wrong.faults.count) == {
        "runs: more than once",
        "runs: nobody asked for it",
        "runs: missing",
        "open: not succeeded",
    }


def test_target_called_under_two_ids_is_found() -> None:
    """And one that was never called for an event."""
    wrong = checker()
    wrong.topic("t", seen())

    wrong.target("w", [("1", "evt_2"), ("2", "evt_2")])

    assert set(wrong.faults.count) == {"target of w: more than once", "target of w: missing"}
