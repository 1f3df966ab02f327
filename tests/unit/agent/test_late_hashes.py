"""Nothing waits for the hash of a large file, and no change of one is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from agent import late, waits
from agent.event import Event
from agent.hash_rate import HashRate
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import PATIENCE_S, Watched, brief, has, one

Watch = Callable[..., Watched]
LARGE = b"large" * 200
NEVER = 1
"""Bytes per second: `LARGE` takes a quarter of an hour."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "_FLUSH_S", 0.3)


class Gate(threading.Event):
    """Has to be set before the hash of a file as large as `LARGE` is known; `reached`: one has been read."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def spare(self, count: int) -> bool:
        return self.is_set() or count < len(LARGE)

    def take(self, count: int) -> float:
        if count >= len(LARGE):
            self.reached.set()
            self.wait(PATIENCE_S)
        return 0.0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Return a gate, which is shut, in the place of every limit of the rate."""
    gate = Gate()
    monkeypatch.setattr(HashRate, "spare", lambda _, count: gate.spare(count))
    monkeypatch.setattr(HashRate, "take", lambda _, count: gate.take(count))
    yield gate
    gate.set()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _with_hash(kind: str, path: str) -> Callable[[list[Event]], bool]:
    return lambda events: any(event.kind == kind and event.path == path and event.sha256 for event in events)


def test_late_hash_is_announced_by_a_modify(root: Path, watch: Watch, gate: Gate) -> None:
    """After 100 ms a `modify` without a hash says that content was written; the closeWrite has the hash."""
    (root / "f").write_bytes(b"old")
    watched = watch()
    (root / "f").write_bytes(LARGE)
    watched.until(has("modify", "f"))
    gate.set()
    events = watched.until(has("closeWrite", "f"))[1:]

    assert brief(events) == [("modify", "f"), ("closeWrite", "f")]
    modify, closed = events
    assert (modify.sha256, modify.hash_status, modify.written, modify.size) == (None, None, False, 1000)
    assert set(modify.changed or []) >= {"data", "size"}
    assert (closed.sha256, closed.written, closed.changed) == (_sha256(LARGE), True, ["data"])
    assert modify.previous_sha256 == closed.previous_sha256 == _sha256(b"old")


def test_hash_of_a_large_file_within_its_patience_is_one_event(root: Path, watch: Watch) -> None:
    """A file that the thread has hashed in time is told once, as a small one."""
    watched = watch()
    (root / "f").write_bytes(bytes(300_000))
    events = watched.until(has("closeWrite", "f"))

    assert one(events, "closeWrite", "f").sha256 == _sha256(bytes(300_000))
    assert len(events) <= 3


def test_other_events_do_not_wait_for_a_hash(root: Path, watch: Watch) -> None:
    """What happens after the closeWrite of a file that takes for ever to hash is told before it."""
    watched = watch(hash_bytes_per_second=NEVER)
    (root / "f").write_bytes(LARGE)
    (root / "f").chmod(0o600)
    (root / "d").mkdir()
    events = watched.until(has("create", "d"))

    assert has("attribute", "f")(events)
    assert not has("closeWrite", "f")(events)


def test_deleted_while_it_is_hashed(root: Path, watch: Watch) -> None:
    """Its closeWrite is told before the delete, though nobody knows the content any more."""
    (root / "d").mkdir()
    watched = watch(hash_bytes_per_second=NEVER)
    (root / "d/f").write_bytes(LARGE)
    watched.until(has("modify", "d/f"))
    (root / "d/f").unlink()
    events = watched.until(has("delete", "d/f"))

    kinds = [event.kind for event in events if event.path == "d/f" and event.kind != "modify"]
    assert kinds == ["create", "closeWrite", "delete"]
    assert one(events, "closeWrite", "d/f").hash_status == "vanished"


def test_moved_out_with_its_directory_while_it_is_hashed(root: Path, tmp_path: Path, watch: Watch) -> None:
    """What leaves the view with a directory is told before that leaves."""
    (root / "d").mkdir()
    watched = watch(hash_bytes_per_second=NEVER)
    (root / "d/f").write_bytes(LARGE)
    watched.until(has("modify", "d/f"))
    (root / "d").rename(tmp_path / "outside")
    events = watched.until(has("rename", "d"))

    paths = [(event.kind, event.path) for event in events if event.kind != "modify"]
    assert paths.index(("closeWrite", "d/f")) < paths.index(("rename", "d"))


def test_renamed_while_it_is_hashed(root: Path, watch: Watch, gate: Gate) -> None:
    """The closeWrite follows the file, and the directories above it, to their new names."""
    (root / "d").mkdir()
    watched = watch()
    (root / "d/f").write_bytes(LARGE)
    watched.until(has("modify", "d/f"))
    (root / "d/f").rename(root / "d/g")
    (root / "d").rename(root / "e")
    watched.until(has("rename", "d"))
    gate.set()
    events = watched.until(_with_hash("closeWrite", "e/g"))

    assert [event.kind for event in events if event.kind == "closeWrite"] == ["closeWrite"]
    assert replay(events) == on_disk(root)


def test_written_again_while_it_is_hashed(root: Path, watch: Watch, gate: Gate) -> None:
    """Each closeWrite is told; that whose content is gone is `unstable`, the last has the hash."""
    watched = watch()
    (root / "f").write_bytes(LARGE)
    watched.until(has("modify", "f"))
    (root / "f").write_bytes(LARGE[::-1])
    watched.until(has("closeWrite", "f"))
    gate.set()
    events = watched.until(_with_hash("closeWrite", "f"))

    closed = [event for event in events if event.kind == "closeWrite"]
    assert [event.hash_status for event in closed] == ["unstable", "ok"]
    assert closed[1].sha256 == _sha256(LARGE[::-1])


def test_moved_in_while_hashing_is_slow(root: Path, tmp_path: Path, watch: Watch, gate: Gate) -> None:
    """The rename is told at once, and the content by a settled `modify`."""
    (tmp_path / "f").write_bytes(LARGE)
    watched = watch()
    (tmp_path / "f").rename(root / "f")
    watched.until(has("rename", "f"))
    gate.set()
    events = watched.until(_with_hash("modify", "f"))

    assert brief(events) == [("rename", "f", None), ("modify", "f")]
    assert (events[0].moved, events[0].sha256) == ("in", None)
    assert events[1].sha256 == _sha256(LARGE)


def test_end_before_the_hash_is_known(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The closeWrite is told at the end without a hash, and the content by the next start."""
    monkeypatch.setattr(late, "_FLUSH_S", 0.0)
    with Watched(root, tmp_path / "state", hash_bytes_per_second=NEVER) as watched:
        (root / "f").write_bytes(LARGE)
        watched.until(has("create", "f"))
        watched.stop()
        first = list(watched.events())
    with Watched(root, tmp_path / "state") as watched:
        events = watched.until(_with_hash("modify", "f"))

    assert (first[-1].kind, first[-1].written, first[-1].sha256) == ("closeWrite", True, None)
    assert replay(events) == on_disk(root)


def test_killed_before_the_hash_is_known(root: Path, tmp_path: Path) -> None:
    """What is in the journal at that moment claims nothing: the next start tells the content."""
    (root / "same").write_bytes(LARGE)
    with Watched(root, tmp_path / "state", hash_bytes_per_second=0):
        pass
    with Watched(root, tmp_path / "state", hash_bytes_per_second=NEVER) as watched:
        (root / "f").write_bytes(LARGE)
        (root / "same").write_bytes(b"other")
        (root / "same").write_bytes(LARGE)
        watched.until(lambda events: has("modify", "f")(events) and has("modify", "same")(events))
        (tmp_path / "killed/proj").mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            databases = [
                stack.enter_context(contextlib.closing(sqlite3.connect(tmp_path / state / "proj/journal.db")))
                for state in ("state", "killed")
            ]
            databases[0].backup(databases[1])
    with Watched(root, tmp_path / "killed") as watched:
        events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert replay(events) == on_disk(root)


def test_first_scan_does_not_wait_for_hashes(root: Path, watch: Watch, gate: Gate) -> None:
    """A baseline that comes without its hash is followed by another that has it; nothing was modified."""
    for name in "abc":
        (root / name).write_bytes(LARGE)
    watched = watch()
    before = [event.sha256 for event in watched.events()]
    gate.set()
    events = watched.until(lambda events: sum(bool(event.sha256) for event in events) == 3)

    assert before == [None] * 3
    assert {event.kind for event in events} == {"baseline"}
    assert replay(events) == on_disk(root)


def test_first_scan_that_was_not_hashed_to_the_end(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start goes on with baselines: an agent that was away has not modified anything."""
    monkeypatch.setattr(late, "_FLUSH_S", 0.0)
    (root / "f").write_bytes(LARGE)
    with Watched(root, tmp_path / "state", hash_bytes_per_second=NEVER):
        pass
    with Watched(root, tmp_path / "state") as watched:
        events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert [event.kind for event in events] == ["baseline", "gap", "baseline", "gap_closed"]
    assert events[2].sha256 == _sha256(LARGE)


def test_gap_is_open_until_the_hashes_of_its_scan_are_there(root: Path, tmp_path: Path, gate: Gate) -> None:
    """Whether a file was changed or only touched is decided by its hash, and until then nothing is mended."""
    for name in ("changed", "touched"):
        (root / name).write_bytes(LARGE)
    gate.set()
    with Watched(root, tmp_path / "state") as watched:
        before = len(watched.events())
    gate.clear()
    (root / "changed").write_bytes(LARGE[::-1])
    (root / "touched").touch()
    with Watched(root, tmp_path / "state") as watched:
        (root / "touched").chmod(0o600)
        assert not has("gap_closed", "")(watched.until(has("attribute", "touched")))
        gate.set()
        events = watched.until(lambda events: events[-1].kind == "gap_closed")[before:]

    found = [(event.kind, event.path, event.changed) for event in events[1:-1]]
    assert ("modify", "changed", ["data", "mtime"]) in found
    assert {(kind, path) for kind, path, _ in found} == {("modify", "changed"), ("attribute", "touched")}
    assert [changed for _, path, changed in found if path == "touched"] == [["mode"], ["mtime", "atime"]]
    assert {event.source for event in events if event.path == "changed"} == {"startup"}


def test_more_files_than_may_wait(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories are remembered instead, and gone through again: every content is told in the end."""
    monkeypatch.setattr(waits, "_MOST_TOLD", 3)
    monkeypatch.setattr(waits, "_MOST_FOUND", 2)
    for index in range(20):
        (root / f"before{index}").write_bytes(LARGE + b"%d" % index)
    watched = watch(hash_bytes_per_second=100_000)
    for index in range(20):
        (root / f"after{index}").write_bytes(LARGE + b"%d" % index)
    watched.until(lambda events: replay(events) == on_disk(root))
    watched.stop()

    events = watched.events()
    assert sum(event.kind == "closeWrite" for event in events) == 20
    assert replay(events) == on_disk(root)


def test_sparse_file_above_the_limit_is_not_read(root: Path, watch: Watch) -> None:
    """A file of a terabyte that holds nothing is too large like any other."""
    watched = watch()
    with (root / "f").open("wb") as file:
        file.truncate(2**40)
    events = watched.until(has("closeWrite", "f"))

    assert one(events, "closeWrite", "f").hash_status == "too_large"


def test_thread_does_not_show_up_in_what_others_open(root: Path, watch: Watch, gate: Gate) -> None:
    """The agent's own open, reads and close of a large file are not reported, those of others are."""
    watched = watch(
        kinds=["open", "access", "closeNoWrite"], actors=False
    )  # with actors, what this process does is the agent's
    (root / "f").write_bytes(LARGE)
    watched.until(has("modify", "f"))
    assert gate.reached.wait(PATIENCE_S)
    (root / "f").open("rb").close()
    watched.until(has("closeNoWrite", "f"))
    gate.set()
    watched.until(_with_hash("closeWrite", "f"))
    watched.stop()

    kinds = [event.kind for event in watched.events()]
    assert kinds == ["create", "open", "modify", "open", "closeNoWrite", "closeWrite"]


def test_write_through_another_hard_link(root: Path, tmp_path: Path) -> None:
    """inotify tells of the name that was written through; the next scan finds the others."""
    (root / "a").write_bytes(b"old")
    os.link(root / "a", root / "b")
    with Watched(root, tmp_path / "state") as watched:
        (root / "a").write_bytes(b"newer")
        watched.until(has("closeWrite", "a"))
    with Watched(root, tmp_path / "state") as watched:
        events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert one(events, "modify", "b").sha256 == _sha256(b"newer")


@pytest.mark.parametrize("backend", ["watchfiles", "poll"])
def test_late_hash_without_kernel_records(root: Path, watch: Watch, gate: Gate, backend: str) -> None:
    """A difference that only the hash can tell is reported once that is known; nothing else waits."""
    (root / "f").write_bytes(LARGE)
    gate.set()
    watched = watch(backend=backend, poll_every_s=0.05)
    watched.stop()
    gate.clear()
    watched = watch(backend=backend, poll_every_s=0.05)
    with (root / "f").open("r+b", buffering=0) as file:  # never seen empty
        file.write(LARGE[::-1])
    (root / "d").mkdir()
    watched.until(has("create", "d"))
    early = has("modify", "f")(watched.events())
    gate.set()
    events = watched.until(has("modify", "f"))

    assert not early
    assert one(events, "modify", "f").sha256 == _sha256(LARGE[::-1])


def test_hashes_are_counted(root: Path, watch: Watch) -> None:
    """The bytes that were read, and the files that still wait."""
    (root / "a").write_bytes(b"12345")
    read = _metric("fswire_agent_hashed_bytes_total")
    watched = watch(hash_bytes_per_second=NEVER * 40)
    watched.wait(lambda: _metric("fswire_agent_hashed_bytes_total") == read + 5)
    (root / "f").write_bytes(LARGE)
    watched.until(has("modify", "f"))
    watched.wait(lambda: _metric("fswire_agent_hashes_waiting") == 1)
    watched.stop()

    assert _metric("fswire_agent_hashes_waiting") == 0


def _metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"project": "proj"}) or 0
