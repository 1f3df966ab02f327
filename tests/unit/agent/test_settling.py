"""A file that stays open is reported once per window."""

from __future__ import annotations

from agent.settling import Settling


def test_settling_close_tells_that_data_was_written() -> None:
    """An ordinary save is one closeWrite with `written`, and nothing is left to report."""
    settling: Settling[str] = Settling(1.0)
    settling.note("a", 0.0)

    assert settling.close("a")
    assert settling.due(10.0) == []


def test_settling_close_without_writes() -> None:
    """A file that was opened for writing and not written to has nothing to tell."""
    assert not Settling[str](1.0).close("a")


def test_settling_quiet_file_has_settled() -> None:
    """After a window without further writes the content is final."""
    settling: Settling[str] = Settling(1.0)
    settling.note("a", 0.0)

    assert settling.due(0.9) == []
    assert settling.due(1.0) == [("a", True)]
    assert settling.due(2.0) == []


def test_settling_busy_file_gets_another_window() -> None:
    """A file written to within its window is still open, and is looked at again at the end of the next."""
    settling: Settling[str] = Settling(1.0)
    settling.note("a", 0.0)
    settling.note("a", 0.5)

    assert settling.due(1.0) == [("a", False)]
    assert settling.due(1.5) == []
    assert settling.due(2.0) == [("a", True)]


def test_settling_close_after_report_without_further_writes() -> None:
    """`written` is about data since the last report."""
    settling: Settling[str] = Settling(1.0)
    settling.note("a", 0.0)
    settling.note("a", 0.5)
    settling.due(1.0)

    assert not settling.close("a")


def test_settling_follows_a_rename() -> None:
    """A file that is renamed while open is the same file."""
    settling: Settling[str] = Settling(1.0)
    settling.note("a", 0.0)
    settling.rename("a", "b")

    assert settling.due(1.0) == [("b", True)]


def test_settling_deadline_is_the_oldest_window() -> None:
    """Who waits is told how long."""
    settling: Settling[str] = Settling(1.0)
    assert settling.deadline() is None
    settling.note("a", 3.0)
    settling.note("b", 4.0)

    assert settling.deadline() == 4.0


def test_settling_file_that_was_made_and_never_closed() -> None:
    """A link has no closeWrite: after a window the file has settled, and is not being written to before."""
    settling: Settling[str] = Settling(1.0)
    settling.made("a", 0.0)

    assert "a" not in settling
    assert settling.all() == []
    settling.made("a", 0.0)
    assert settling.due(1.0) == [("a", True)]


def test_settling_file_that_was_made_and_written_to() -> None:
    """The first write makes it a file that is being written to."""
    settling: Settling[str] = Settling(1.0)
    settling.made("a", 0.0)
    settling.note("a", 0.5)

    assert "a" in settling
    assert settling.close("a")
