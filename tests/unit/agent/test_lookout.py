"""The lookout on real files: what its orders show and hide, and what it holds for that."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.event import Event
from agent.inotify import Inotify
from agent.lookout import Lookout
from agent.scope_session import Order
from agent.scopes import Scope
from agent.watches import below

pytestmark = pytest.mark.skipif(not Path("/proc/sys/fs/inotify").exists(), reason="there is no inotify here")
_PATIENCE_S = 60.0


class Watched:
    """A lookout, and what it has told."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.lookout = Lookout(self._events.append, lambda: None)

    def order(self, make: Callable[[], Order]) -> None:
        """Have an order done, and wait until it is."""
        done = threading.Event()

        def order() -> Order:
            yield from make()
            done.set()

        self.lookout.order(order())
        assert done.wait(_PATIENCE_S)

    def show(self, path: Path, *, recursive: bool = False) -> None:
        """Have a path shown."""
        self.order(lambda: self.lookout.show(scope(path, recursive=recursive)))

    def hide(self, path: Path, *, recursive: bool = False) -> None:
        """Have it shown no longer."""
        self.order(lambda: self.lookout.hide(scope(path, recursive=recursive)))

    def told(self) -> list[tuple[str, str]]:
        """Return kind and path of the changes so far; what was there before is none."""
        self.order(lambda: iter(()))
        told = [(each.kind, f"/{each.path}") for each in self._events if each.kind != "baseline"]
        self._events.clear()
        return told

    @property
    def watches(self) -> int:
        """Return how many directories the kernel watches for it."""
        session = self.lookout._session
        assert session is not None
        return len(session._view.watches)

    @property
    def looked_at(self) -> set[bytes]:
        """Return the paths of the directories that it watches."""
        session = self.lookout._session
        assert session is not None
        view = session._view
        return {view.path(directory) for directory in below(view.watches.root)}


def scope(path: Path, *, recursive: bool) -> Scope:
    return Scope(bytes(path)[1:], recursive)


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    watched.lookout.start()
    yield watched
    watched.lookout.stop()
    watched.lookout.join(_PATIENCE_S)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


def test_what_is_shown_is_told_and_what_was_there_is_not(watched: Watched, root: Path) -> None:
    """A scope's files as they are found are no news."""
    (root / "old").touch()
    watched.show(root)
    assert watched.told() == []

    (root / "new").mkdir()

    assert watched.told() == [("create", str(root / "new"))]


def test_paths_that_are_looked_at_are_spelt_once(watched: Watched, root: Path) -> None:
    """The tree begins at `/`: no path of a log line or of a look has an empty part."""
    (root / "sub").mkdir()
    watched.show(root, recursive=True)

    assert {b"/", bytes(root), bytes(root / "sub")} <= watched.looked_at
    assert not any(b"//" in path for path in watched.looked_at)


def test_without_an_inotify_instance_it_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told, and does not wait; once there is one, it is had."""
    refusals = []

    def refused() -> Order:
        try:
            yield from watched.lookout.show(scope(root, recursive=True))
        except OSError as error:
            refusals.append(str(error))

    def none_left(_: Inotify) -> Inotify:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(Inotify, "__enter__", none_left)
        watched = Watched()
        watched.lookout.start()
        watched.order(refused)
    watched.order(lambda: iter(()))
    watched.show(root)
    (root / "new").mkdir()

    assert len(refusals) == 1
    assert "max_user_instances" in refusals[0]
    assert ("create", str(root / "new")) in watched.told()
    watched.lookout.stop()
    watched.lookout.join(_PATIENCE_S)


def test_a_directory_in_a_plain_scope_is_not_watched(watched: Watched, root: Path) -> None:
    """Not recursive costs the watches of the way and of the directory, however many are in it."""
    for number in range(50):
        (root / f"{number}").mkdir()
    watched.show(root)
    plain = watched.watches

    watched.show(root, recursive=True)

    assert plain == len(root.parts)
    assert watched.watches == plain + 50


def test_nothing_is_left_of_what_is_hidden(watched: Watched, root: Path) -> None:
    """The kernel watches nothing for it any more."""
    (root / "a" / "b").mkdir(parents=True)
    for _ in range(3):
        watched.show(root / "a", recursive=True)
        watched.show(root)
        watched.hide(root / "a", recursive=True)
        watched.hide(root)

    (root / "a" / "b" / "c").mkdir()
    assert watched.watches == 0
    assert [event for event in watched.told() if event[0] != "rename"] == []


def test_a_scope_within_another_stays_when_the_other_goes(watched: Watched, root: Path) -> None:
    """And the other way round."""
    (root / "a" / "b").mkdir(parents=True)
    watched.show(root, recursive=True)
    watched.show(root / "a" / "b")
    watched.hide(root, recursive=True)
    watched.told()

    (root / "x").mkdir()
    (root / "a" / "b" / "c").mkdir()

    assert watched.told() == [("create", str(root / "a" / "b" / "c"))]


def test_what_is_closed_on_the_way_hides_nothing(watched: Watched, root: Path) -> None:
    """A directory that may be passed but not read leads on to one that can be watched."""
    (root / "closed" / "open").mkdir(parents=True)
    (root / "closed").chmod(0o311)
    watched.show(root / "closed" / "open")

    (root / "closed" / "open" / "a").mkdir()

    assert watched.told() == [("create", str(root / "closed" / "open" / "a"))]
    (root / "closed").chmod(0o755)
