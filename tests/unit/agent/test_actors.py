"""Who did it: what fanotify tells is matched with inotify's records, and nobody is guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from agent import actors
from agent.actors import Actors
from agent.event import Actor, Event
from agent.fan_records import RENAME, SELF
from agent.records import (
    ATTRIB,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    ISDIR,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    OPEN,
    Record,
)
from tests.unit.agent.fan_events import directory, event, needs_fanotify, overflow
from tests.unit.agent.watched import Watched, has, one

Watch = Callable[..., Watched]
_NOBODY = 65534


class Scripted:
    """Stands for fanotify: reads what the test has put there."""

    def __init__(self, _root: bytes, _mask: int, take: Callable[[Iterator[bytes]], bool]) -> None:
        self.lock = threading.Lock()
        self.empty = True
        self.reads: list[bytes] = []
        self._take = take

    def handle(self, path: bytes) -> bytes:
        return directory(len(path))

    def queued(self) -> int:
        return len(self.reads)

    def ask_for(self, _mask: int) -> None:
        pass

    def watch_programs(self) -> None:
        pass

    def locate(self, handle: bytes) -> bytes:
        raise FileNotFoundError(handle)

    def drain(self) -> bool:
        with self.lock:
            reads, self.reads = self.reads, []
            return self._take(iter(reads))


class Beside:
    """Actors beside an inotify of which the test says how far it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, on_request: int = 0) -> None:
        monkeypatch.setattr(actors, "Fanotify", Scripted)
        monkeypatch.setattr("agent.process.look", lambda pid: Actor(pid, pid + 1, "/bin/it"))
        self.position = 0
        self.now_s = 0.0
        self.actors = Actors(
            b"/r",
            on_request,
            lambda: self.position,
            lambda wd, name: 2 if (wd, name) == (1, b"dd") else None,
            lambda: self.now_s,
        )
        self.fanotify = cast(Scripted, self.actors._fanotify)
        self.actors.watch(b"/r", lambda _: 1)
        self.actors.watch(b"/r/dd", lambda _: 2)

    def told(self, *events: bytes) -> None:
        """Let fanotify tell something that inotify has told as well."""
        self.position += 32 * len(events)
        self.fanotify.reads.append(b"".join(events))

    def read(self) -> None:
        """Let the reading thread have its turn."""
        self.fanotify.drain()

    def pid(self, mask: int, name: bytes, position: int, wd: int = 1) -> int | None:
        """Return the process named for a record."""
        actor = self.actors.of(Record(wd, mask, 0, name, 0, position))
        return actor.pid if actor else None


_ROOT = directory(2)
_BELOW = directory(5)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Beside:
    """Return scripted actors of two directories."""
    return Beside(monkeypatch)


def test_one_process_is_named(beside: Beside) -> None:
    """Each of the kinds that fanotify has merged names its process, with uid and executable."""
    beside.told(event(CREATE | MODIFY | CLOSE_WRITE, 10, _ROOT, b"f"))

    assert beside.pid(CREATE, b"f", 0) == 10
    assert beside.actors.of(Record(1, CLOSE_WRITE, 0, b"f", 0, 16)) == Actor(10, 11, "/bin/it")
    assert beside.pid(DELETE, b"f", 16) is None
    assert beside.pid(CREATE, b"f", 16, wd=2) is None


def test_two_processes_are_not_told_apart(beside: Beside) -> None:
    """Where two did the same to one name at once, nobody is named."""
    beside.told(event(CREATE | DELETE, 10, _ROOT, b"f"), event(DELETE, 11, _ROOT, b"f"))

    assert beside.pid(CREATE, b"f", 0) == 10
    assert beside.pid(DELETE, b"f", 32) is None


def test_process_of_another_namespace(beside: Beside) -> None:
    """One that has no number here is nobody, and makes another's doing of the same uncertain."""
    beside.told(event(CREATE, 0, _ROOT, b"f"))
    beside.told(event(CREATE, 10, _ROOT, b"g"), event(CREATE, 0, _ROOT, b"g"))

    assert beside.actors.of(Record(1, CREATE, 0, b"f", 0, 0)) is None
    assert beside.actors.of(Record(1, CREATE, 0, b"g", 0, 32)) is None


def test_processes_one_after_the_other(beside: Beside) -> None:
    """What was read before a record happened does not speak of it."""
    beside.told(event(ATTRIB, 10, _ROOT, b"f"))
    beside.read()
    beside.read()
    beside.told(event(ATTRIB, 11, _ROOT, b"f"))
    beside.read()
    beside.read()

    assert beside.pid(ATTRIB, b"f", 0) == 10
    assert beside.pid(ATTRIB, b"f", 32) == 11


def test_record_later_than_all_that_was_told(beside: Beside) -> None:
    """A record that fanotify has not told of is nobody's, whoever did the same before."""
    beside.told(event(ATTRIB, 10, _ROOT, b"f"))
    beside.read()
    beside.read()
    beside.position += 32

    assert beside.pid(ATTRIB, b"f", 32) is None


def test_both_ends_of_a_rename(beside: Beside) -> None:
    """A rename names its process whichever half is asked about."""
    beside.told(event(RENAME, 10, _ROOT, b"old", _BELOW, b"new"))

    assert beside.pid(MOVED_FROM, b"old", 0) == 10
    assert beside.pid(MOVED_TO, b"new", 16, wd=2) == 10


def test_attributes_of_directories(beside: Beside) -> None:
    """inotify names a directory in its parent, fanotify the directory itself."""
    beside.told(event(ATTRIB | ISDIR, 10, _BELOW, SELF), event(ATTRIB | ISDIR, 11, _ROOT, SELF))

    assert beside.pid(ATTRIB | ISDIR, b"dd", 0) == 10
    assert beside.pid(ATTRIB | ISDIR, b"", 32) == 11


def test_overflow_names_nobody_for_a_while(beside: Beside) -> None:
    """After a loss nobody is named for what had happened; what happens later has its names again."""
    beside.told(event(CREATE, 10, _ROOT, b"f"), overflow())
    beside.read()
    beside.told(event(CREATE, 11, _ROOT, b"g"))

    assert beside.pid(CREATE, b"f", 0) is None
    assert beside.pid(CREATE, b"g", 64) == 11


def test_too_much_to_remember(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody asks about is forgotten before it fills the memory."""
    monkeypatch.setattr(actors, "_HELD", 1)
    beside.told(event(CREATE, 10, _ROOT, b"f"), event(CREATE, 10, _ROOT, b"g"))
    beside.read()

    assert beside.pid(CREATE, b"f", 0) is None


def test_events_elsewhere_are_not_kept(beside: Beside) -> None:
    """While nothing happens in the tree, memory does not grow with what happens elsewhere."""
    for number in range(100):
        beside.fanotify.reads.append(event(CREATE, 10, directory(9), b"f%d" % number))
        beside.read()
        beside.now_s += 0.1

    assert sum(len(age.told) for age in beside.actors._read) < 10


def test_own_accesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open is the agent's, another's, or, where both opened, not certain; the agent is never an actor."""
    beside = Beside(monkeypatch, OPEN)
    own = os.getpid()
    beside.told(event(OPEN, own, _ROOT, b"own"), event(OPEN, 10, _ROOT, b"other"))
    beside.told(event(OPEN, own, _ROOT, b"both"), event(OPEN, 10, _ROOT, b"both"))
    records = [Record(1, OPEN, 0, name, 0, 0) for name in (b"own", b"other", b"both")]

    assert [beside.actors.is_own(record) for record in records] == [True, False, None]
    assert beside.actors.of(records[0]) is None


def test_new_name_found_by_a_scan(beside: Beside) -> None:
    """Who made what a scan finds is named, if it was one process."""
    beside.told(event(CREATE, 10, _BELOW, b"f"))

    for _ in range(3):
        beside.read()

    assert beside.actors.of_new(2, b"f") == Actor(10, 11, "/bin/it")
    assert beside.actors.of_new(2, b"g") is None


def _exe(program: str) -> str:
    return os.path.realpath(shutil.which(program) or "")


def _wait_for(watched: Watched, kind: str, path: str) -> Event:
    watched.until(has(kind, path))
    return one(watched.events(), kind, path)


@needs_fanotify
def test_short_lived_programs_are_named(root: Path, watch: Watch) -> None:
    """touch, mv and rm are gone at once, and named all the same."""
    watched = watch()
    for command in (["touch", "f"], ["mv", "f", "g"], ["rm", "g"]):
        subprocess.run(command, cwd=root, check=True)
    watched.until(has("delete", "g"))
    watched.stop()

    found = {(event.kind, event.actor.exe) for event in watched.events() if event.actor}
    assert {("create", _exe("touch")), ("rename", _exe("mv")), ("delete", _exe("rm"))} <= found


@needs_fanotify
def test_uid_of_another_user(root: Path, watch: Watch) -> None:
    """The uid is that of the process, not of the agent."""
    root.chmod(0o777)
    watched = watch()
    with subprocess.Popen(["tee", "f"], user=_NOBODY, cwd=root, stdin=subprocess.PIPE) as tee:
        created = _wait_for(watched, "create", "f")
        tee.communicate()

    assert created.actor == Actor(tee.pid, _NOBODY, _exe("tee"))


@needs_fanotify
def test_own_reads_are_known_by_their_process(root: Path, watch: Watch) -> None:
    """What others open is reported with who it was; the agent's own hashing and listing is not."""
    (root / "f").write_bytes(b"x")
    watched = watch(kinds=["open", "closeNoWrite"])
    subprocess.run(["tee", "g"], cwd=root, input=b"y", check=True, stdout=subprocess.DEVNULL)
    watched.until(has("closeWrite", "g"))
    subprocess.run(["cat", "f"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    watched.until(has("closeNoWrite", "f"))
    watched.stop()

    opens = [
        (event.path, event.actor and event.actor.exe) for event in watched.events() if event.kind == "open"
    ]
    assert opens == [("g", _exe("tee")), ("f", _exe("cat"))]


@needs_fanotify
def test_writer_of_a_file_that_stays_open(root: Path, watch: Watch) -> None:
    """A modify names who wrote."""
    (root / "f").touch()
    watched = watch(settle_ms=50)
    with subprocess.Popen(
        ["tee", "-a", str(root / "f")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as tee:
        assert tee.stdin is not None
        tee.stdin.write(b"x")
        tee.stdin.flush()
        modified = _wait_for(watched, "modify", "f")

    assert modified.actor == Actor(tee.pid, os.geteuid(), _exe("tee"))


@needs_fanotify
def test_actors_are_left_out_on_request(root: Path, watch: Watch) -> None:
    """`actors = false` names nobody."""
    watched = watch(actors=False)
    subprocess.run(["touch", "f"], cwd=root, check=True)
    watched.until(has("closeWrite", "f"))
    watched.stop()

    assert {event.actor for event in watched.events()} == {None}


def test_without_the_capability(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses, everything is reported without a name."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(actors, "Fanotify", refuse)
    watched = watch()
    subprocess.run(["touch", "f"], cwd=root, check=True)
    watched.until(has("closeWrite", "f"))
    watched.stop()

    assert {event.actor for event in watched.events()} == {None}
