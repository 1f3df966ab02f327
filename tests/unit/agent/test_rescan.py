"""A rescan while the agent watches finds what no record told, and tells nothing twice."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from agent import kernel
from agent.event import Event
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief, has

Watch = Callable[..., Watched]


def _completed() -> float:
    return REGISTRY.get_sample_value("fswire_agent_rescans_total", {"project": "proj"}) or 0


def _rescanned(watched: Watched) -> None:
    """Ask for a rescan and wait for its end."""
    before = _completed()
    watched.handover.ask_rescan("test")
    watched.wait(lambda: _completed() > before)


def test_rescan_of_an_unchanged_tree_reports_nothing(root: Path, watch: Watch) -> None:
    """Whatever kinds of entries there are, and however they came about: none is a difference."""
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").write_bytes(b"x")
    watched = watch()
    (root / "g").write_bytes(b"y")
    (root / "link").symlink_to("nowhere")
    os.link(root / "g", root / "d/hard")
    os.mkfifo(root / "fifo")
    (root / "d/e/f").rename(root / "moved")
    (root / "moved").chmod(0o600)
    watched.until(has("attribute", "moved"))
    _rescanned(watched)
    before = len(watched.events())
    _rescanned(watched)

    assert brief(watched.events()[before:]) == []


def test_rescan_finds_what_no_record_told(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are lost without a word do not stay lost."""
    (root / "changed").write_bytes(b"old")
    (root / "gone").write_bytes(b"x")
    (root / "d").mkdir()
    watched = watch()
    monkeypatch.setattr(kernel, "parse", lambda _: [])
    (root / "changed").write_bytes(b"new!")
    (root / "gone").unlink()
    (root / "d/added").write_bytes(b"y")
    watched.handover.ask_rescan("test")
    watched.until(lambda events: {("create", "d/added"), ("delete", "gone")} <= set(brief(events)))
    watched.until(has("modify", "changed"))

    events = watched.events()
    assert Counter(brief(events[3:])) == {
        ("modify", "changed"): 1,
        ("delete", "gone"): 1,
        ("create", "d/added"): 1,
    }
    assert {event.source for event in events[3:]} == {"rescan"}
    assert replay(events) == on_disk(root)


def test_rescans_during_a_storm_report_nothing_twice(root: Path, watch: Watch) -> None:
    """Every operation is one event with or without rescans going on, and replaying them fits at each step."""
    (root / "d").mkdir()
    watched = watch(max_hash_bytes=0)
    for index in range(500):
        path = root / f"d/{index}"
        path.write_bytes(b"x")
        path.rename(root / f"d/r{index}")
        if index % 2:
            (root / f"d/r{index}").unlink()
        if index % 25 == 0:
            watched.handover.ask_rescan("test")
    _rescanned(watched)
    watched.stop()

    events = watched.events()
    assert replay(events).keys() == on_disk(root).keys()
    assert Counter(_kinds(events)) == {
        "baseline": 1,
        "create": 500,
        "closeWrite": 500,
        "rename": 500,
        "delete": 250,
    }


def _kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_rescan_leaves_open_files_alone(root: Path, watch: Watch) -> None:
    """A file that was created and not closed yet, or that is being written to, will be told of by records."""
    watched = watch()
    with (root / "empty").open("wb"), (root / "written").open("wb", buffering=0) as file:
        file.write(b"x")
        watched.until(has("create", "written"))
        _rescanned(watched)
        events = list(watched.events())
    watched.stop()

    assert "modify" not in _kinds(events)
    assert Counter(_kinds(watched.events())) == {"create": 2, "closeWrite": 2}


def test_rescan_is_made_every_so_often(root: Path, watch: Watch) -> None:
    """`rescan_every_s` needs nobody who asks."""
    before = _completed()
    watched = watch(rescan_every_s=0.05)
    watched.wait(lambda: _completed() >= before + 3)

    assert brief(watched.events()) == []
