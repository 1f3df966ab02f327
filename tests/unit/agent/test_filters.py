"""What patterns hide is neither watched nor reported, and the border is crossed by renames."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from agent.event import Event
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief, has

Watch = Callable[..., Watched]


def _moves(events: list[Event]) -> list[tuple[Any, ...]]:
    """Return path, direction and remark of each rename."""
    return [(event.path, event.moved, event.extra) for event in events if event.kind == "rename"]


def _paths(events: list[Event]) -> set[str]:
    return {event.path for event in events if event.path}


def test_excluded_directory_is_neither_watched_nor_entered(root: Path, watch: Watch) -> None:
    """Nothing below it is seen, at the start or later; the kernel is not even asked."""
    (root / "build/deep").mkdir(parents=True)
    (root / "build/deep/f").touch()
    watched = watch(exclude=["build/"])
    watches = watched.watches
    (root / "build/g").touch()
    (root / "d").mkdir()
    (root / "d/build").mkdir()
    (root / "d/build/h").touch()
    (root / "build.txt").touch()
    watched.stop()

    assert watches == 1
    assert _paths(watched.events()) == {"d", "build.txt"}


def test_include_reports_only_what_matches(root: Path, watch: Watch) -> None:
    """Directories are always reported, so that the tree can be replayed; of files only those that match."""
    (root / "a.py").touch()
    (root / "a.txt").touch()
    watched = watch(include=["*.py", "/docs/"])
    (root / "src").mkdir()
    (root / "src/b.py").touch()
    (root / "src/b.txt").touch()
    (root / "docs").mkdir()
    (root / "docs/any").touch()
    watched.stop()

    assert _paths(watched.events()) == {"a.py", "src", "src/b.py", "docs", "docs/any"}


def test_exclude_wins_over_include(root: Path, watch: Watch) -> None:
    """A file is reported if it is included and not excluded."""
    watched = watch(include=["*.py"], exclude=["test_*"])
    (root / "a.py").touch()
    (root / "test_a.py").touch()
    watched.stop()

    assert _paths(watched.events()) == {"a.py"}


def test_root_has_patterns_of_its_own(root: Path, watch: Watch) -> None:
    """They come on top of those of all roots."""
    roots = [{"dir": root, "project": "proj", "exclude": ["*.log"]}]
    watched = watch(roots=roots, exclude=["*.tmp"])
    for name in ("a.log", "a.tmp", "a.txt"):
        (root / name).touch()
    watched.stop()

    assert _paths(watched.events()) == {"a.txt"}


def test_rename_across_the_border(root: Path, watch: Watch) -> None:
    """What comes out of the hidden is moved in, with all that is in it; what goes there is moved out."""
    (root / "hidden.tmp").write_bytes(b"1")
    (root / "seen").write_bytes(b"2")
    (root / "dir.tmp/deep").mkdir(parents=True)
    (root / "dir.tmp/deep/f").write_bytes(b"3")
    (root / "tree").mkdir()
    (root / "tree/g").write_bytes(b"4")
    watched = watch(exclude=["*.tmp"])
    (root / "hidden.tmp").rename(root / "shown")
    (root / "seen").rename(root / "seen.tmp")
    (root / "dir.tmp").rename(root / "dir")
    (root / "tree").rename(root / "tree.tmp")
    (root / "tree.tmp/after").touch()
    watched.stop()

    events = watched.events()
    assert _moves(events) == [
        ("shown", "in", None),
        ("seen", "out", None),
        ("dir", "in", None),
        ("tree", "out", None),
    ]
    shutil.rmtree(root / "tree.tmp")
    (root / "seen.tmp").unlink()
    assert replay(events) == on_disk(root)


def test_rename_of_a_directory_changes_what_its_place_hides(root: Path, watch: Watch) -> None:
    """A pattern with a path: below the new name other files are hidden than below the old one."""
    (root / "a/cache").mkdir(parents=True)
    (root / "a/cache/f").write_bytes(b"1")
    (root / "b").mkdir()
    (root / "b/cache").mkdir()
    (root / "b/cache/g").write_bytes(b"2")
    watched = watch(exclude=["/a/cache/"])
    (root / "a").rename(root / "c")
    watched.until(lambda events: ("c/cache/f", "in", None) in _moves(events))
    (root / "b").rename(root / "a")
    watched.until(lambda events: ("a/cache", "out", "excluded") in _moves(events))
    (root / "a/cache/unseen").touch()
    (root / "c/cache/seen").touch()
    watched.stop()

    events = watched.events()
    shutil.rmtree(root / "a/cache")
    assert replay(events) == on_disk(root)


def test_names_that_are_no_utf8_match(root: Path, watch: Watch) -> None:
    """A byte that is no UTF-8 counts as one character."""
    watched = watch(exclude=["bad?"])
    for name in (b"bad\xff", b"bad\xff\xfe"):
        os.close(os.open(bytes(root) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    watched.stop()

    assert {event.path for event in watched.events()} == {"bad\ufffd\ufffd"}


def test_restart_says_what_patterns_changed(root: Path, tmp_path: Path) -> None:
    """What is hidden only now goes out, what is shown only now is baseline: none was deleted or created."""
    for name in ("a.log", "a.tmp", "kept"):
        (root / name).write_bytes(name.encode())
    with Watched(root, tmp_path / "state", exclude=["*.tmp"]) as first:
        before = len(first.events())
    (root / "new.tmp").touch()
    (root / "new").touch()
    with Watched(root, tmp_path / "state", exclude=["*.log"]) as second:
        everything = second.until(lambda events: events[-1].kind == "gap_closed")

    found = [(event.kind, event.path, event.moved, event.extra) for event in everything[before + 1 : -1]]
    assert sorted(found) == [
        ("baseline", "a.tmp", None, None),
        ("baseline", "new.tmp", None, None),
        ("create", "new", None, None),
        ("rename", "a.log", "out", "excluded"),
    ]
    (root / "a.log").unlink()
    assert replay(everything) == on_disk(root)


def test_ignore_files_hide_below_their_directory(root: Path, watch: Watch) -> None:
    """As in git the nearest file decides; they are not read unless that is asked for."""
    (root / ".fswireignore").write_text("*.log\n# comment\n[bad\n")
    (root / "sub").mkdir()
    (root / "sub/.fswireignore").write_text("!keep.log\n/local\n")
    watched = watch(ignore_files=True)
    for name in ("a.log", "local", "sub/b.log", "sub/keep.log", "sub/local"):
        (root / name).touch()
    watched.stop()

    shown = {".fswireignore", "local", "sub", "sub/.fswireignore", "sub/keep.log"}
    assert _paths(watched.events()) == shown


def test_ignore_files_cannot_show_what_settings_hide(root: Path, watch: Watch) -> None:
    """Whoever may write to the tree does not decide over who set the agent up."""
    (root / ".fswireignore").write_text("!secret\n")
    watched = watch(ignore_files=True, exclude=["secret"])
    (root / "secret").touch()
    watched.stop()

    assert _paths(watched.events()) == {".fswireignore"}


@pytest.mark.parametrize("backend", ["inotify", "watchfiles"])
def test_ignore_file_that_changes_takes_effect(root: Path, watch: Watch, backend: str) -> None:
    """What it hides from now on goes out of view, what it no longer hides comes back as baseline."""
    (root / "d").mkdir()
    (root / "d/f.log").write_bytes(b"1")
    (root / "d/f.tmp").write_bytes(b"2")
    watched = watch(ignore_files=True, backend=backend)
    (root / "d/.fswireignore").write_text("*.log\n")
    watched.until(lambda events: ("d/f.log", "out", "excluded") in _moves(events))
    (root / "d/g.log").touch()
    (root / "d/.fswireignore").unlink()
    events = watched.until(lambda events: replay(events) == on_disk(root))
    watched.stop()

    assert brief(events).count(("baseline", "d/f.log")) == 2


def test_own_directories_are_never_reported(root: Path, watch: Watch) -> None:
    """Where fswire keeps its own files nothing is watched, whatever patterns say."""
    own = root / "own"
    own.mkdir()
    watched = watch(own_dirs=[own], include=["**"])
    (own / "f").touch()
    (root / "f").touch()
    watched.until(has("create", "f"))
    watched.stop()

    assert _paths(watched.events()) == {"f"}


@pytest.mark.parametrize(
    ("settings", "reason"), [({"exclude": ["*.tmp"]}, "excluded"), ({"except": ["create"]}, "kind")]
)
def test_what_is_left_out_is_counted(
    root: Path, watch: Watch, settings: dict[str, list[str]], reason: str
) -> None:
    """The metric of what was seen and not reported has the reason."""
    labels = {"project": "proj", "reason": reason}
    before = REGISTRY.get_sample_value("fswire_agent_dropped_total", labels) or 0
    watched = watch(**settings)
    (root / "f.tmp").touch()
    watched.stop()

    assert (REGISTRY.get_sample_value("fswire_agent_dropped_total", labels) or 0) > before
