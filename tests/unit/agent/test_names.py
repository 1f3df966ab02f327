"""Names and paths as hard as the kernel allows: what is told of them is what is there."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import files
from agent.event import Event
from agent.reach import PATH_MAX, Reached
from tests.unit.agent import deep
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, has, one

Watch = Callable[..., Watched]
FAR = [f"{number:02}" + "d" * 248 for number in range(18)]
"""Names of directories: from one to the next, further than PATH_MAX."""


@pytest.fixture
def far(root: Path) -> Iterator[Path]:
    """Return the root, and remove what is too far away for others to remove."""
    yield root
    shutil.rmtree(root)


def path_of(names: list[str]) -> str:
    """Return names as the path that events have."""
    return "/".join(names)


def sha256(content: bytes) -> str:
    """Return a digest as events have it."""
    return hashlib.sha256(content).hexdigest()


def raw_path(event: Event) -> bytes:
    """Return the bytes of an event's path."""
    return base64.b64decode(event.path_b64) if event.path_b64 else event.path.encode()


@pytest.mark.parametrize(
    "name",
    [
        b"n" * 255,
        "ä".encode() * 127,
        b"first\nsecond",
        b"\xff\xfe.txt",
        b"\xed\xa0\x80",
        b" ",
        b"-rf",
        b'"\\\x01\x7f',
        b"...",
        "e\u0301".encode(),
    ],
)
def test_name(name: bytes, watch: Watch, root: Path) -> None:
    """A file by any name is told, hashed, renamed and found again under just this name."""
    file = root / os.fsdecode(name)
    file.write_bytes(b"before")
    watched = watch()
    file.write_bytes(b"now")
    watched.wait(lambda: any(event.kind == "closeWrite" for event in watched.events()))
    file.rename(root / os.fsdecode(name[1:] + b"+"))
    watched.wait(lambda: any(event.kind == "rename" for event in watched.events()))
    watched.stop()
    again = watch().until(lambda events: events[-1].kind == "gap_closed")

    assert {raw_path(event) for event in again if event.kind in ("baseline", "closeWrite", "rename")} == {
        name
    }
    assert replay(again) == on_disk(root)
    assert all("\ufffd" in event.path for event in again if event.path_b64)


def test_names_that_differ_in_case_alone(watch: Watch, root: Path) -> None:
    """A rename that changes the case of a name is a rename like any other."""
    (root / "readme").write_bytes(b"1")
    watched = watch()

    (root / "readme").rename(root / "README")
    event = one(watched.until(has("rename", "readme")), "rename", "readme")

    assert (event.renamed_to, event.sha256) == ("README", sha256(b"1"))
    assert replay(watched.events()) == on_disk(root)


def test_symbolic_links_are_objects(watch: Watch, root: Path, tmp_path: Path) -> None:
    """A link is told as a link, wherever it leads: nowhere, to itself, out of the tree, upwards."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "before").symlink_to(outside)
    watched = watch()

    for name, target in {"dangling": "nowhere", "loop": "loop", "up": "..", "away": str(outside)}.items():
        (root / name).symlink_to(target)
    watched.until(has("create", "away"))
    (root / "away").rename(root / "back")
    os.utime(root / "loop", ns=(1, 1), follow_symlinks=False)
    watched.until(lambda events: has("rename", "away")(events) and has("attribute", "loop")(events))
    (root / "dangling").unlink()
    events = watched.until(has("delete", "dangling"))

    links = [event for event in events if event.path and event.kind in ("baseline", "create", "rename")]
    assert len(links) == 6
    assert {(event.filetype, event.is_dir, event.hash_status) for event in links} == {
        ("inode/symlink", False, "not_regular")
    }
    assert not any("secret" in event.path for event in events)
    assert one(events, "create", "up").size == len("..")


def test_directory_has_no_size(watch: Watch, root: Path) -> None:
    """How large a directory's own blocks are is no one's business."""
    watched = watch()

    (root / "d.json").mkdir()
    event = one(watched.until(has("create", "d.json")), "create", "d.json")

    assert (event.size, event.filetype, event.is_dir) == (0, "inode/directory", True)


def test_directory_replaced_by_a_link(watch: Watch, root: Path, tmp_path: Path) -> None:
    """Where a directory was, a link is not followed: what it leads to is not in the tree."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "d").mkdir()
    watched = watch()

    (root / "d").rmdir()
    (root / "d").symlink_to(outside)
    watched.until(has("create", "d"))
    watched.stop()
    events = watch().until(lambda events: events[-1].kind == "gap_closed")

    assert not any("secret" in event.path for event in events)
    assert replay(events) == on_disk(root)


def test_listing_never_follows_a_link(tmp_path: Path) -> None:
    """A link that took a directory's place in the instant before is not read."""
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")

    assert files.names(bytes(tmp_path)) == [b"d", b"link"]
    with pytest.raises(NotADirectoryError):
        files.names(bytes(tmp_path / "link"))


def test_reached_path(far: Path) -> None:
    """A path beyond PATH_MAX is reached by a short one, and nothing is left open; a short one is as it is."""
    deep.make(far, FAR)
    path = b"/".join([bytes(far), *map(str.encode, FAR)])
    descriptors = list(Path("/proc/self/fd").iterdir())

    with Reached(path) as near:
        assert len(near) < PATH_MAX < len(path)
        assert near.endswith(b"/" + FAR[-1].encode())
        assert Path(os.fsdecode(near)).is_dir()
    with pytest.raises(FileNotFoundError), Reached(path.replace(b"12d", b"no")):
        pass
    with Reached(b"/short") as near:
        assert near == b"/short"
    assert len(list(Path("/proc/self/fd").iterdir())) == len(descriptors)


def test_state_of_a_far_path(far: Path) -> None:
    """A look beyond PATH_MAX sees what is there, and that nothing is."""
    deep.make(far, FAR)
    deep.write(far, [*FAR, "f"], b"content")
    path = b"/".join([bytes(far), *map(str.encode, FAR)])

    found = files.look(path + b"/f")

    assert found is not None
    assert (found.size, found.is_regular) == (7, True)
    assert files.look(path + b"/none") is None
    assert files.names(path) == [b"f"]


def test_far_tree_that_was_there(far: Path, watch: Watch) -> None:
    """What lies beyond PATH_MAX is in the baseline, hashed, and watched from then on."""
    deep.make(far, FAR)
    deep.write(far, [*FAR, "f"], b"before")
    watched = watch()

    deep.write(far, [*FAR, "f"], b"after")
    events = watched.until(has("closeWrite", path_of([*FAR, "f"])))

    assert one(events, "baseline", path_of([*FAR, "f"])).sha256 == sha256(b"before")
    written = one(events, "closeWrite", path_of([*FAR, "f"]))
    assert (written.sha256, written.previous_sha256) == (sha256(b"after"), sha256(b"before"))
    assert not [event for event in events if event.kind == "gap"]


def test_far_tree_that_is_polled(far: Path, watch: Watch) -> None:
    """Where no kernel tells of it, what lies beyond PATH_MAX is read all the same."""
    deep.make(far, FAR)
    deep.write(far, [*FAR, "f"], b"before")
    watched = watch(backend="poll", poll_every_s=0.1)

    deep.write(far, [*FAR, "f"], b"after!")
    events = watched.until(has("modify", path_of([*FAR, "f"])))

    assert one(events, "baseline", path_of([*FAR, "f"])).sha256 == sha256(b"before")
    assert one(events, "modify", path_of([*FAR, "f"])).sha256 == sha256(b"after!")


def test_far_tree_that_is_made_and_changed(far: Path, watch: Watch) -> None:
    """A tree that grows beyond PATH_MAX is told to its end: files, attributes, links, renames, removal."""
    watched = watch()
    deep.make(far, FAR)
    watched.until(has("create", path_of(FAR)))
    deep.write(far, [*FAR, "f"], b"content")
    watched.until(lambda events: any(event.path == path_of([*FAR, "f"]) and event.sha256 for event in events))
    with deep.opened(far, FAR) as last:
        os.chmod("f", 0o600, dir_fd=last)
        os.symlink("f", "link", dir_fd=last)
        watched.until(has("create", path_of([*FAR, "link"])))
        os.rename("f", "g", src_dir_fd=last, dst_dir_fd=last)
        watched.until(has("rename", path_of([*FAR, "f"])))
        os.unlink("link", dir_fd=last)
    (far / FAR[0]).rename(far / "short")
    watched.until(has("rename", FAR[0]))
    deep.write(far, ["short", *FAR[1:], "g"], b"more")
    events = watched.until(has("closeWrite", path_of(["short", *FAR[1:], "g"])))

    chmod = one(events, "attribute", path_of([*FAR, "f"]))
    assert (chmod.changed, chmod.mode) == (["mode"], 0o600)
    assert one(events, "closeWrite", path_of(["short", *FAR[1:], "g"])).sha256 == sha256(b"more")
    assert not [event for event in events if event.kind == "gap"]


def test_far_tree_changed_while_the_agent_was_down(far: Path, watch: Watch) -> None:
    """A start finds what changed beyond PATH_MAX, and under a name that brought it within."""
    deep.make(far, FAR)
    deep.write(far, [*FAR, "f"], b"before")
    watch().stop()
    deep.write(far, [*FAR, "f"], b"after!")
    with deep.opened(far, FAR) as last:
        os.setxattr(f"/proc/self/fd/{last}/f", "user.colour", b"blue")

    events = watch().until(lambda events: events[-1].kind == "gap_closed")

    modified = one(events, "modify", path_of([*FAR, "f"]))
    assert (modified.sha256, modified.previous_sha256) == (sha256(b"after!"), sha256(b"before"))
    changed = one(events, "attribute", path_of([*FAR, "f"]))
    assert [stream.name for stream in changed.streams or ()] == ["colour"]
