"""The agent's own opens and reads are told from those of others by their positions in the kernel's queue."""

from __future__ import annotations

from agent.own import OwnAccess
from agent.records import ACCESS, CLOSE_NOWRITE, OPEN, Record


class _Queue:
    position = 0

    def __call__(self) -> int:
        return self.position

    def deliver(self, mask: int) -> Record:
        record = Record(1, mask, 0, b"f", 0, self.position)
        self.position += 32
        return record


def test_own_access_is_recognised() -> None:
    """One open, one close and every read in between are the agent's."""
    queue = _Queue()
    own = OwnAccess(queue)
    with own.access("f") as window:
        assert window is not None
        records = [queue.deliver(OPEN)]
        window.opened()
        records += [queue.deliver(ACCESS), queue.deliver(ACCESS)]
        window.closing()
        records.append(queue.deliver(CLOSE_NOWRITE))

    assert [own.was("f", record) for record in records] == [True] * 4


def test_open_and_close_of_another_during_a_long_hash() -> None:
    """Whoever opens and closes the file while it is read is reported; only his reads cannot be told apart."""
    queue = _Queue()
    own = OwnAccess(queue)
    with own.access("f") as window:
        assert window is not None
        mine = [queue.deliver(OPEN)]
        window.opened()
        theirs = [queue.deliver(OPEN), queue.deliver(CLOSE_NOWRITE)]
        window.closing()
        mine.append(queue.deliver(CLOSE_NOWRITE))

    assert [own.was("f", record) for record in theirs] == [False, False]
    assert [own.was("f", record) for record in mine] == [True, True]


def test_own_open_is_recognised_before_the_end_of_the_read() -> None:
    """Its record may be handled while the other thread still reads."""
    queue = _Queue()
    own = OwnAccess(queue)
    with own.access("f") as window:
        assert window is not None
        mine = queue.deliver(OPEN)
        window.opened()
        theirs = queue.deliver(CLOSE_NOWRITE)

        assert own.was("f", mine)
        assert not own.was("f", theirs)


def test_access_before_and_after_is_of_others() -> None:
    """A window covers nothing outside of it, and no other path."""
    queue = _Queue()
    own = OwnAccess(queue)
    before = queue.deliver(OPEN)
    with own.access("f"):
        within = queue.deliver(OPEN)
    after = queue.deliver(OPEN)

    assert not own.was("f", before)
    assert not own.was("g", within)
    assert not own.was("f", after)


def test_windows_are_forgotten_once_no_record_can_be_in_them() -> None:
    """That is known the second time that no record is waiting; a window that is still open stays."""
    queue = _Queue()
    own = OwnAccess(queue)
    with own.access("f"):
        record = queue.deliver(OPEN)
    own.clear()
    with own.access("g"):
        late = queue.deliver(OPEN)
        own.clear()

        assert not own.was("f", record)
        assert own.was("g", late)


def test_window_follows_its_file() -> None:
    """A file that is renamed while it is hashed is closed under its new name."""
    queue = _Queue()
    own = OwnAccess(queue)
    with own.access("f") as window:
        assert window is not None
        window.opened()
        own.rename("f", "g")
        window.closing()
        record = queue.deliver(CLOSE_NOWRITE)

    assert own.was("g", record)
