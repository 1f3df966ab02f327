"""What a root watched through the real inotify reports."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.event import Event
from agent.kernel import KernelSession
from tests.unit.agent.replay import on_disk, path_of, replay
from tests.unit.agent.watched import PATIENCE_S, Watched, brief, has

Watch = Callable[..., Watched]
_LONGEST_WAIT_S = 0.01


def test_first_scan_reports_a_baseline(root: Path, watch: Watch) -> None:
    """What was there before is `baseline`, with its state and hash, and no gap."""
    (root / "dir").mkdir()
    (root / "dir" / "a.txt").write_bytes(b"hello")
    watched = watch()
    watched.stop()

    events = watched.events()
    assert brief(events) == [("baseline", "dir"), ("baseline", "dir/a.txt")]
    file = events[1]
    assert (file.size, file.filetype, file.hash_status) == (5, "text/plain", "ok")
    assert file.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert file.spine == ["2", watched_root_id(events), events[0].file_id, file.file_id]


def watched_root_id(events: list[Event]) -> str:
    """Return the second id of a spine: the project root's."""
    assert events[0].spine is not None
    return events[0].spine[1]


def test_new_file(root: Path, watch: Watch) -> None:
    """A new file is a create, then a closeWrite with its hash; no modify."""
    watched = watch()
    with (root / "f").open("xb") as file:
        watched.until(has("create", "f"))
        file.write(b"data")
    watched.stop()

    created, closed = watched.events()
    assert (created.kind, created.size, created.source) == ("create", 0, "kernel")
    assert (closed.kind, closed.written, closed.size) == ("closeWrite", True, 4)
    assert closed.sha256 == hashlib.sha256(b"data").hexdigest()
    assert closed.file_id == created.file_id


def test_save_of_a_known_file(root: Path, watch: Watch) -> None:
    """A save tells what changed and what was there before."""
    (root / "f").write_bytes(b"old")
    watched = watch()
    (root / "f").write_bytes(b"newer")
    watched.stop()

    (event,) = watched.events()[1:]
    assert (event.kind, event.written) == ("closeWrite", True)
    assert event.changed is not None
    assert set(event.changed) >= {"data", "size"}
    assert event.previous is not None
    assert event.previous.size == 3
    assert event.previous_sha256 == hashlib.sha256(b"old").hexdigest()


def test_save_with_equal_content(root: Path, watch: Watch) -> None:
    """Rewriting the same bytes changes no data."""
    (root / "f").write_bytes(b"same")
    watched = watch()
    (root / "f").write_bytes(b"same")
    watched.stop()

    (event,) = watched.events()[1:]
    assert event.written
    assert "data" not in (event.changed or [])


def test_close_without_writing(root: Path, watch: Watch) -> None:
    """A file opened for writing and closed again has nothing written."""
    (root / "f").write_bytes(b"x")
    watched = watch()
    (root / "f").open("r+b").close()
    watched.stop()

    (event,) = watched.events()[1:]
    assert (event.kind, event.written, event.changed) == ("closeWrite", False, None)


def test_open_file_is_reported_once_per_window(root: Path, watch: Watch) -> None:
    """While a file stays open its writes are one `modify` each window, then a hash once it settles."""
    (root / "log").write_bytes(b"")
    watched = watch(settle_ms=50)
    with (root / "log").open("ab", buffering=0) as file:
        file.write(b"1")
        settled = watched.until(has("modify", "log"))
    watched.stop()

    assert settled[1].hash_status == "ok"
    assert brief(watched.events())[1:] == [("modify", "log"), ("closeWrite", "log")]
    assert not watched.events()[2].written


def test_truncate_by_path_is_a_settled_modify(root: Path, watch: Watch) -> None:
    """truncate(2) closes nothing: the change is told when the window is over."""
    (root / "f").write_bytes(b"12345")
    watched = watch(settle_ms=50)
    os.truncate(root / "f", 2)
    events = watched.until(has("modify", "f"))

    assert (events[1].size, events[1].hash_status) == (2, "ok")


def test_tree_made_and_removed_at_once(root: Path, watch: Watch) -> None:
    """mkdir -p with files inside and rm -rf lose nothing and double nothing."""
    watched = watch()
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/f").write_bytes(b"x")
    (root / "a/g").write_bytes(b"y")
    watched.until(lambda events: {"a/b/c/f", "a/g"} <= {event.path for event in events})
    shutil.rmtree(root / "a")
    watched.stop()

    events = watched.events()
    for kind in ("create", "delete"):
        paths = sorted(event.path for event in events if event.kind == kind)
        assert paths == ["a", "a/b", "a/b/c", "a/b/c/f", "a/g"]
    assert replay(events) == {}


def test_create_and_delete_at_once(root: Path, watch: Watch) -> None:
    """A file that is gone before it can be looked at is reported all the same."""
    watched = watch()
    for _ in range(50):
        (root / "f").write_bytes(b"x")
        (root / "f").unlink()
    watched.stop()

    kinds = [event.kind for event in watched.events()]
    assert kinds == ["create", "closeWrite", "delete"] * 50


def test_rename_of_a_full_directory(root: Path, watch: Watch) -> None:
    """One rename carries everything; its descendants stay watched under their new paths."""
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").write_bytes(b"x")
    watched = watch()
    (root / "a").rename(root / "z")
    (root / "z/b/f").write_bytes(b"y")
    watched.stop()

    events = watched.events()
    assert brief(events[3:]) == [("rename", "a", "z"), ("closeWrite", "z/b/f")]
    assert events[3].moved == "within"
    assert events[3].file_id == events[0].file_id
    assert replay(events) == on_disk(root)


def test_rename_over_a_file(root: Path, watch: Watch) -> None:
    """The overwritten target is said to be gone right before the rename, which carries the content's hash."""
    (root / "target").write_bytes(b"old")
    watched = watch()
    (root / "temporary").write_bytes(b"new")
    (root / "temporary").replace(root / "target")
    watched.stop()

    events = watched.events()
    assert brief(events[-2:]) == [("delete", "target"), ("rename", "temporary", "target")]
    assert events[-2].extra == "override"
    assert events[-2].previous_sha256 == hashlib.sha256(b"old").hexdigest()
    assert events[-1].sha256 == hashlib.sha256(b"new").hexdigest()


def test_rename_out_and_in(root: Path, tmp_path: Path, watch: Watch) -> None:
    """Half a rename is `out` or `in`; what was moved in comes with all that it holds, and is watched."""
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    watched = watch()
    (root / "d").rename(tmp_path / "outside")
    watched.until(has("rename", "d"))
    (tmp_path / "outside").rename(root / "back")
    watched.until(has("create", "back/f"))
    (root / "back/f").write_bytes(b"y")
    watched.stop()

    events = watched.events()
    assert [(event.path, event.moved) for event in events if event.kind == "rename"] == [
        ("d", "out"),
        ("back", "in"),
    ]
    assert replay(events) == on_disk(root)


def test_moved_out_directory_is_not_watched_any_more(root: Path, tmp_path: Path, watch: Watch) -> None:
    """What happens outside the root is nobody's business."""
    (root / "d").mkdir()
    watched = watch()
    (root / "d").rename(tmp_path / "outside")
    watched.until(has("rename", "d"))
    (tmp_path / "outside/f").write_bytes(b"x")
    watched.stop()

    assert not any("f" in event.path for event in watched.events())


def test_exchange_of_two_names(root: Path, watch: Watch) -> None:
    """A replay of RENAME_EXCHANGE ends with both files, each under the other's name."""
    import ctypes

    (root / "a").write_bytes(b"a")
    (root / "b").mkdir()
    (root / "b/f").write_bytes(b"f")
    watched = watch()
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.renameat2(-100, bytes(root / "a"), -100, bytes(root / "b"), 2)
    watched.stop()
    if result != 0:
        pytest.skip("this file system cannot exchange")

    assert replay(watched.events()) == on_disk(root)


def test_attributes(root: Path, watch: Watch) -> None:
    """chmod and touch name what changed, with the old value."""
    (root / "f").write_bytes(b"x")
    (root / "f").chmod(0o644)
    watched = watch()
    (root / "f").chmod(0o600)
    watched.until(has("attribute", "f"))
    os.utime(root / "f", ns=(1, 2))
    watched.stop()

    chmod, touch = watched.events()[1:]
    assert (chmod.kind, chmod.changed, chmod.mode) == ("attribute", ["mode"], 0o600)
    assert chmod.previous is not None
    assert chmod.previous.mode == 0o644
    assert touch.changed == ["mtime", "atime"]


def test_attributes_of_directories(root: Path, watch: Watch) -> None:
    """A directory's chmod is one event, though two watches tell of it; so is the root's."""
    (root / "d").mkdir(mode=0o755)
    root.chmod(0o755)
    watched = watch()
    (root / "d").chmod(0o700)
    root.chmod(0o700)
    watched.stop()

    events = watched.events()[1:]
    assert [(event.kind, event.path, event.changed) for event in events] == [
        ("attribute", "d", ["mode"]),
        ("attribute", "", ["mode"]),
    ]


def test_symbolic_links_are_objects(root: Path, tmp_path: Path, watch: Watch) -> None:
    """A link is reported as itself; its target is neither hashed nor entered."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target/secret").write_bytes(b"x")
    watched = watch()
    (root / "link").symlink_to(tmp_path / "target")
    watched.until(has("create", "link"))
    (tmp_path / "target/more").write_bytes(b"y")
    watched.stop()

    (event,) = watched.events()
    assert (event.is_dir, event.filetype, event.hash_status) == (False, "inode/symlink", "not_regular")


def test_hard_links_share_an_id(root: Path, watch: Watch) -> None:
    """Two names of one file are two paths with one file id; the new name comes with its content."""
    (root / "a").write_bytes(b"x")
    watched = watch()
    os.link(root / "a", root / "b")
    watched.stop()

    baseline, created = watched.events()
    assert (created.kind, created.path) == ("create", "b")
    assert created.file_id == baseline.file_id
    assert created.sha256 == baseline.sha256


def test_names_of_any_bytes(root: Path, watch: Watch) -> None:
    """A name with a newline is text; one that is no UTF-8 has U+FFFD, and its bytes beside it."""
    watched = watch()
    (root / "new\nline").touch()
    (root / "bad\udcff").write_bytes(b"")
    watched.stop()

    events = watched.events()
    assert events[0].path == "new\nline"
    bad = [event for event in events if event.path_b64]
    assert {event.path for event in bad} == {"bad\ufffd"}
    assert {path_of(event) for event in bad} == {b"bad\xff"}
    assert replay(events).keys() == on_disk(root).keys()


def test_reads_are_reported_only_when_asked_for(root: Path, watch: Watch) -> None:
    """Opens and reads of others are reported on request, the agent's own never."""
    (root / "f").write_bytes(b"x")
    watched = watch(kinds=["open", "access", "closeNoWrite"], actors=False)  # this process is the agent
    (root / "f").read_bytes()
    watched.until(has("closeNoWrite", "f"))
    (root / "g").write_bytes(b"y")  # which the agent hashes
    watched.until(has("closeWrite", "g"))
    (root / "end").mkdir()
    watched.until(has("create", "end"))
    watched.stop()

    kinds = [(event.kind, event.path) for event in watched.events()]
    assert [kind for kind, path in kinds if path == "f"] == ["baseline", "open", "access", "closeNoWrite"]
    assert [kind for kind, path in kinds if path == "g"] == ["create", "open", "closeWrite"]
    assert [kind for kind, path in kinds if path == "end"] == ["create"]


def test_state_directory_inside_the_root_is_not_reported(root: Path) -> None:
    """The agent's own journal would report itself for ever."""
    with Watched(root, root / "state") as watched:
        (root / "f").touch()
        watched.until(has("closeWrite", "f"))

        assert {event.path for event in watched.events()} == {"f"}


def test_stop_takes_in_what_has_happened(root: Path, watch: Watch) -> None:
    """Everything that the kernel told before the end is in the journal after it."""
    watched = watch()
    for index in range(2000):
        (root / str(index)).touch()
    watched.stop()

    assert sum(event.kind == "create" for event in watched.events()) == 2000


def test_change_is_durable_soon(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an idle agent a change reaches the journal at once: a commit is waited for 10 ms at most."""
    watched = watch()
    committed = threading.Event()
    watched.handover.committed = committed.set
    waits_s: list[float] = []
    patience_s = KernelSession._patience_s

    def noted(session: KernelSession) -> float:
        wait_s = patience_s(session)
        if session._task.journal.is_changed:
            waits_s.append(wait_s)
        return wait_s

    monkeypatch.setattr(KernelSession, "_patience_s", noted)
    (root / "f").mkdir()

    assert committed.wait(PATIENCE_S)
    assert all(wait_s <= _LONGEST_WAIT_S for wait_s in waits_s)


def test_file_still_open_at_the_end(root: Path, tmp_path: Path) -> None:
    """What was written to a file that was open at the end is told with its hash by the next start."""
    with (root / "f").open("wb", buffering=0) as file:
        with Watched(root, tmp_path / "state"):
            file.write(b"content")
        with Watched(root, tmp_path / "state") as watched:
            events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert [event.kind for event in events] == ["baseline", "modify", "gap", "modify", "gap_closed"]
    assert (events[1].hash_status, events[1].written) == ("unstable", False)
    assert events[3].sha256 == hashlib.sha256(b"content").hexdigest()


def test_create_whose_close_was_never_seen(root: Path, tmp_path: Path) -> None:
    """A file that was created but not closed while it was watched gets its hash from the next start."""
    with Watched(root, tmp_path / "state") as watched:
        file = (root / "f").open("wb", buffering=0)
        watched.until(has("create", "f"))
    file.close()
    with Watched(root, tmp_path / "state") as watched:
        events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert [event.kind for event in events] == ["create", "gap", "modify", "gap_closed"]
    assert events[2].sha256 == hashlib.sha256(b"").hexdigest()
