"""What waits for a hash, and how it ends."""

from __future__ import annotations

from agent.event import Kind
from agent.files import State
from agent.hash_queue import Job
from agent.report import Place, When
from agent.waits import PATIENCE_S, Wait, Waits
from agent.watches import Directory

_STATE = State(0o100644, 1, 2, 3, 4, 5, 0, 0, 6, 7)
_ROOT = Directory(None, b"", 1)


def _wait(name: bytes, kind: Kind | None = "closeWrite", directory: Directory = _ROOT) -> Wait:
    return Wait((directory, name), _STATE, When(0), kind, written=True)


def test_wait_is_due_once_after_its_patience() -> None:
    """An event is told without its hash once, when it has waited for long enough."""
    waits = Waits()
    wait = _wait(b"f")
    waits.add(wait, 10.0)

    assert waits.due(10.0 + PATIENCE_S / 2) == []
    assert waits.due(10.0 + PATIENCE_S) == [wait]
    assert waits.due(11.0) == []
    assert waits.deadline() is None


def test_wait_of_a_scan_has_no_deadline_and_comes_last() -> None:
    """What a record told is hashed before what a scan found."""
    waits = Waits()
    found, told = _wait(b"found", None), _wait(b"told")
    waits.add(found, 0.0)
    waits.add(told, 0.0)

    assert waits.found == 1
    assert [waits.next(), waits.next(), waits.next()] == [told, found, None]


def test_wait_follows_its_file() -> None:
    """A rename takes a wait along."""
    waits = Waits()
    wait = _wait(b"f")
    waits.add(wait, 0.0)
    target: Place = (_ROOT, b"g")
    waits.rename(wait.place, target)

    assert (_ROOT, b"f") not in waits
    assert waits.get(target) is wait
    assert wait.place == target


def test_wait_that_ends_gives_up_its_job() -> None:
    """Nobody waits for the digest any more."""
    waits = Waits()
    wait = _wait(b"f")
    waits.add(wait, 0.0)
    wait.job = Job(wait.place, b"/f", _STATE)
    waits.end(wait.place)

    assert wait.over
    assert wait.job.given_up.is_set()
    assert (len(waits), waits.next(), waits.deadline()) == (0, None, None)


def test_waits_below_a_directory_end_together() -> None:
    """What is gone with a directory is all that is below it, at any depth, and nothing else."""
    child = Directory(_ROOT, b"d", 2)
    grandchild = Directory(child, b"e", 3)
    waits = Waits()
    inside, outside = _wait(b"f", directory=grandchild), _wait(b"f")
    waits.add(inside, 0.0)
    waits.add(outside, 0.0)

    assert waits.end_below(child) == [inside]
    assert list(waits) == [outside]


def test_waits_are_bounded() -> None:
    """Neither records nor scans can make waits grow without end."""
    waits = Waits()
    number = 0
    while not waits.full(None):
        waits.add(_wait(b"%d" % number, None), 0.0)
        number += 1
    while not waits.full("closeWrite"):
        waits.add(_wait(b"%d" % number), 0.0)
        number += 1

    assert number < 5000


def test_wait_of_a_scan_that_becomes_an_event() -> None:
    """It is no longer what a gap waits for, it has a deadline, and its place among the events."""
    waits = Waits()
    wait = _wait(b"f", None)
    waits.add(wait, 0.0)
    waits.turn_into(wait, _STATE, When(1), "closeWrite", 5.0, written=True)

    assert waits.found == 0
    assert waits.deadline() == 5.0 + PATIENCE_S
    assert waits.next() is wait
