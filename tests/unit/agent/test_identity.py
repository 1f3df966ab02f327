"""File ids and spines: the same for the life of a file, whatever its name, and of no other file ever."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import baseline, filesystem, identity
from agent.baseline import ROOT_KEY, Baseline
from agent.devices import Devices, name_at
from agent.event import Event
from agent.files import State, look
from agent.journal import Journal, Made, open_journal
from agent.lives import Lives
from tests.unit.agent.watched import Watched, has, one

OTHER_DEVICE = 9_999
STATE = State(stat.S_IFREG | 0o644, 10, 100, 200, 300, 0, 0, 0, 1, 5)
MAX_BYTES = 64 * 1024**2
Watch = Callable[..., Watched]


@pytest.fixture
def lives() -> Lives:
    """Return the lives of an empty journal."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for schema in (baseline.SCHEMA, baseline.LIVES_SCHEMA):
        database.execute(schema)
    return Lives(Baseline(database, 2))


def id_of(events: list[Event], kind: str, path: str) -> str:
    """Return the id in the one event of a kind and a path."""
    found = one(events, kind, path).file_id
    assert found is not None
    return found


def test_id_stays_through_renames_and_restarts(watch: Watch, root: Path) -> None:
    """A file and a directory are called the same under every name, before and after a restart."""
    watched = watch()
    (root / "d").mkdir()
    watched.until(has("create", "d"))
    (root / "f").write_bytes(b"1")
    watched.until(has("closeWrite", "f"))
    (root / "f").rename(root / "d" / "f")
    watched.until(has("rename", "f"))
    (root / "d").rename(root / "e")
    (root / "e" / "f").rename(root / "g")
    events = list(watched.until(has("rename", "e/f")))
    watched.stop()
    again = watch()
    (root / "g").write_bytes(b"22")
    later = again.until(has("closeWrite", "g"))

    directory, file = id_of(events, "create", "d"), id_of(events, "create", "f")
    project = identity.root_id("proj")
    assert one(events, "rename", "f").spine == ["2", project, directory, file]
    assert one(events, "rename", "f").former_spine == ["2", project, file]
    assert one(events, "rename", "d").former_spine is None
    assert id_of(events, "rename", "d") == directory
    assert one(later, "closeWrite", "g").spine == ["2", project, file]


def test_id_of_another_file_by_the_same_name(watch: Watch, root: Path) -> None:
    """What is made anew, or saved by a rename over it, is another file."""
    file, draft = root / "f", root / "draft"
    file.write_bytes(b"1")
    watched = watch()

    file.unlink()
    file.write_bytes(b"2")
    watched.until(has("closeWrite", "f"))
    draft.write_bytes(b"3")
    watched.until(has("closeWrite", "draft"))
    draft.rename(file)
    events = watched.until(has("rename", "draft"))
    ids = [id_of(events, "baseline", "f"), id_of(events, "create", "f"), id_of(events, "rename", "draft")]

    assert len(set(ids)) == 3
    assert [event.file_id for event in events if (event.kind, event.path) == ("delete", "f")] == ids[:2]


def test_id_of_a_file_replaced_while_the_agent_was_down(watch: Watch, root: Path) -> None:
    """A file that took another's name while nobody watched has an id of its own."""
    file = root / "f"
    file.write_bytes(b"1")
    first = watch()
    first.stop()
    (root / "new").write_bytes(b"2")
    (root / "new").rename(file)

    events = watch().until(has("modify", "f"))

    assert id_of(events, "modify", "f") != id_of(events, "baseline", "f")


def test_hard_links_share_their_id(watch: Watch, root: Path) -> None:
    """Two names of one file are one file."""
    (root / "f").write_bytes(b"1")
    watched = watch()

    os.link(root / "f", root / "g")
    events = watched.until(has("create", "g"))

    assert id_of(events, "create", "g") == id_of(events, "baseline", "f")


def test_agents_of_one_project_share_the_root(watch: Watch, root: Path, tmp_path: Path) -> None:
    """Two agents that see the same files call the root alike, and nothing else."""
    (root / "f").write_bytes(b"1")
    watched = watch()
    with Watched(root, tmp_path / "another") as other:
        spines = [one(each.events(), "baseline", "f").spine or [] for each in (watched, other)]

    assert spines[0][:2] == spines[1][:2] == ["2", identity.root_id("proj")]
    assert spines[0][2] != spines[1][2]


def test_lives_of_an_inode_without_birth_times(lives: Lives) -> None:
    """A new file with the inode of one before is told apart; another name of the same file is not."""
    first = lives.now(STATE)
    second = lives.begin(STATE)
    linked = lives.begin(STATE._replace(links=2))
    third = lives.begin(STATE)

    assert len({first.identity, second.identity, third.identity}) == 3
    assert linked.identity == second.identity
    assert lives.now(STATE).identity == third.identity


def test_lives_where_there_are_birth_times(lives: Lives) -> None:
    """A birth time says all."""
    state = STATE._replace(birth_ns=77)

    assert lives.begin(state) is state
    assert lives.now(state) is state


def test_ids_on_a_file_system_without_birth_times(
    watch: Watch, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inode that is used again does not bring an old id back, nor does a restart."""
    from agent import files

    seen = files._look
    monkeypatch.setattr(files, "_look", lambda path: seen(path)._replace(birth_ns=0, inode=len(path)))
    watched = watch()

    (root / "f").write_bytes(b"1")
    watched.until(has("closeWrite", "f"))
    (root / "f").unlink()
    watched.until(has("delete", "f"))
    (root / "g").write_bytes(b"2")
    watched.until(has("closeWrite", "g"))
    (root / "g").rename(root / "h")
    events = list(watched.until(has("rename", "g")))
    watched.stop()
    again = watch()
    (root / "h").chmod(0o600)
    later = again.until(has("attribute", "h"))

    old, new = id_of(events, "create", "f"), id_of(events, "create", "g")
    assert id_of(events, "delete", "f") == old
    assert old != new
    assert id_of(events, "rename", "g") == id_of(later, "attribute", "h") == new
    assert one(events, "create", "g").birth_ns is None


def test_devices_keep_their_numbers() -> None:
    """A file system that comes back under another device number is known by its old one."""
    before = Devices({})
    before.meet(10, "fsid:a")
    before.meet(11, "fsid:b")
    after = Devices(before.numbers)

    assert (after.meet(11, "fsid:a"), after.meet(10, "fsid:b"), after.meet(12, "")) == (10, 11, 12)
    assert (after.of(11), after.of(10)) == (10, 11)


def test_devices_never_give_a_number_twice() -> None:
    """A new file system does not get the number of another, whatever the kernel calls its device."""
    devices = Devices({"fsid:a": 10, "fsid:b": -1})

    assert devices.meet(10, "fsid:c") == -2


def test_devices_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mounted devices that have one id, as an overlay and what is below it, are two all the same."""
    monkeypatch.setattr(filesystem, "devices", lambda: {10, 11})
    devices = Devices({})

    assert devices.meet(10, "fsid:a") != devices.meet(11, "fsid:a")


def test_device_of_a_file_system_that_was_mounted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not mounted any more under its old device is the same under its new one."""
    monkeypatch.setattr(filesystem, "devices", lambda: {11})
    devices = Devices({})

    assert devices.meet(10, "fsid:a") == devices.meet(11, "fsid:a")


def test_name_of_a_file_system(tmp_path: Path) -> None:
    """Everything on one file system has one name for it; a file system that is made of numbers has none."""
    state, proc = look(bytes(tmp_path)), look(b"/proc")
    assert state is not None
    assert proc is not None

    name = name_at(bytes(tmp_path), state.device)

    assert name
    assert name == name_at(bytes(tmp_path.parent), state.device)
    assert name_at(b"/proc", proc.device) == ""
    assert name_at(bytes(tmp_path), state.device + 1) == ""


def test_name_of_an_export(tmp_path: Path) -> None:
    """A network file system without an id is called by what is mounted there, and from where."""
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n90 22 0:50 /sub /mnt/a\\040b rw - nfs4 host:/export rw\n"
    )

    assert filesystem.export_at(b"/mnt/a b/c", mounts) == "nfs4:host:/export:/sub"
    assert filesystem.export_at(b"/mnt", mounts) == ""
    assert filesystem.devices(mounts) == {os.makedev(8, 1), os.makedev(0, 50)}


def test_device_number_changed_by_a_reboot(watch: Watch, root: Path) -> None:
    """Another number of the whole file system is no change of any file, and every id stays."""
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"1")
    first = watch()
    _rename_device(first, OTHER_DEVICE)
    agent = first.journal.meta.agent
    before = list(first.events())

    second = watch()
    (root / "d" / "f").write_bytes(b"22")
    events = second.until(has("closeWrite", "d/f"))[len(before) :]
    state = look(bytes(root / "d" / "f"))

    assert [event.kind for event in events][:2] == ["gap", "gap_closed"]
    assert {event.kind for event in events[2:]} <= {"modify", "closeWrite"}
    assert second.journal.meta.agent == agent
    assert state is not None
    as_before = (OTHER_DEVICE, state.inode, state.birth_ns)
    assert one(events, "closeWrite", "d/f").file_id == identity.file_id(agent, as_before)
    assert one(events, "closeWrite", "d/f").hash_status == "ok"


@pytest.mark.parametrize(
    ("made", "copied"),
    [
        (Made("m", 1, 2, 0, "fsid:a"), False),
        (Made("m", 7, 2, 0, "fsid:a"), False),
        (Made("m", 7, 2, 50, "fsid:other"), False),
        (Made("m", 1, 2, 0, ""), False),
        (Made("m", 7, 2, 51, "fsid:other"), True),
        (Made("m", 7, 2, 0, ""), True),
        (Made("m", 1, 3, 50, "fsid:a"), True),
        (Made("other", 1, 2, 50, "fsid:a"), True),
    ],
)
def test_journal_of_another_root(tmp_path: Path, made: Made, copied: bool) -> None:
    """The file system's name, or the root's own birth, tells the same root from another; so does a number."""
    path = tmp_path / "journal.db"
    journal, _ = open_journal(path, Made("m", 1, 2, 50, "fsid:a"), MAX_BYTES)
    with journal:
        state = STATE._replace(mode=stat.S_IFDIR, inode=2, birth_ns=50)
        journal.baseline.put(ROOT_KEY, b"", baseline.Known(ROOT_KEY, state, None))
        journal.commit()

    with Journal(path, made, MAX_BYTES) as again:
        assert again.copied == copied


def test_journal_from_before_file_systems_had_names(tmp_path: Path) -> None:
    """A journal that knows its root by device and inode alone goes on, and learns the name."""
    path = tmp_path / "journal.db"
    open_journal(path, Made("m", 1, 2), MAX_BYTES)[0].__exit__()

    with Journal(path, Made("m", 1, 2, 50, "fsid:a"), MAX_BYTES) as again:
        assert not again.copied
        assert again.meta.devices == {"fsid:a": 1}


def _rename_device(watched: Watched, number: int) -> None:
    """Stop, and make the journal one of a time when the root's file system had another device number."""
    watched.stop()
    journal = watched.journal
    journal.devices.numbers = dict.fromkeys(journal.devices.numbers, number)
    journal.meta.device = number
    keys = [ROOT_KEY]
    while keys:
        key = keys.pop()
        for name, known in list(journal.baseline.children(key)):
            assert known.state is not None
            journal.baseline.put(key, name, known._replace(state=known.state._replace(device=number)))
            if name and known.directory is not None:
                keys.append(known.directory)
    root = journal.baseline.get(ROOT_KEY, b"")
    assert root is not None
    assert root.state is not None
    journal.baseline.put(ROOT_KEY, b"", root._replace(state=root.state._replace(device=number, birth_ns=1)))
    journal.commit()
