"""When a root is believed to be gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import pytest

from agent.baseline import ROOT_KEY
from agent.files import look
from agent.root_check import RootCheck
from agent.scan import RootGone
from agent.view import View
from agent.watches import Watches


class Looking:
    """As much of a view as the check needs: the root that was found, and what is at its path now."""

    def __init__(self, root: Path) -> None:
        self._path = bytes(root)
        self.watches = Watches(ROOT_KEY, "2")
        state = look(self._path)
        assert state is not None
        self.watches.root.identity = state.identity
        self.looks = 0

    def look(self, _place: object) -> object:
        self.looks += 1
        return look(self._path)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_root_that_is_gone_is_believed_at_the_second_look(tmp_path: Path, clock: Clock) -> None:
    """The first look leaves the records that tell of it the time to come."""
    (tmp_path / "root").mkdir()
    view = Looking(tmp_path / "root")
    check = RootCheck(cast(View, view), clock)
    assert check.turn()
    shutil.rmtree(tmp_path / "root")
    clock.now += check.wait_s()

    assert check.turn()
    again_s = check.wait_s()
    clock.now += again_s
    with pytest.raises(RootGone):
        check.turn()

    assert 0 < again_s < 1
    assert view.looks == 3


def test_root_that_is_back_at_the_second_look_was_never_gone(tmp_path: Path, clock: Clock) -> None:
    """What was renamed away and back at once is watched as before."""
    root = tmp_path / "root"
    root.mkdir()
    check = RootCheck(cast(View, Looking(root)), clock)
    root.rename(tmp_path / "away")
    check.turn()
    (tmp_path / "away").rename(root)
    clock.now += check.wait_s()

    assert check.turn()

    assert not check.turn()
    assert check.wait_s() > 1
