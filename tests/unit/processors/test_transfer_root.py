"""The directory that transfers are written below: what is made there, and what is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from processors.transfer_root import Root, RootRefused


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """An empty root."""
    with closing(Root(tmp_path / "root")) as held:
        yield held


def fetched(root: Root, name: str) -> str:
    """Return the directory of a file that was fetched."""
    directory = root.fresh()
    root.part(directory).write_bytes(b"content")
    root.finish(directory, name)
    return directory


def test_root_has_one_owner_at_a_time(tmp_path: Path) -> None:
    """Two workers would write over each other: the second is refused until the first has ended."""
    with closing(Root(tmp_path)), pytest.raises(RootRefused, match="another"):
        Root(tmp_path)

    Root(tmp_path).close()


def test_every_transfer_has_a_directory_of_its_own(root: Root) -> None:
    """Two files of one name are in nobody's way."""
    first, second = fetched(root, "a.bin"), fetched(root, "a.bin")

    assert first != second
    assert {path.parent.name for path in root.path.glob("*/a.bin")} == {first, second}
    assert root.holds(root.place(first))


def test_removal_takes_what_was_written_alone(root: Root) -> None:
    """A file that somebody else put there stays, and its directory with it."""
    mine, shared = fetched(root, "a.bin"), fetched(root, "a.bin")
    (root.path / shared / "theirs").write_text("precious")

    for directory in (mine, shared, "never-made"):
        root.remove(directory, "a.bin")

    assert not (root.path / mine).exists()
    assert [path.name for path in (root.path / shared).iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../other", "a\0b"])
def test_name_that_leads_elsewhere_is_refused(root: Root, name: str) -> None:
    """Whatever a record says, nothing outside is written or removed."""
    directory = fetched(root, "a.bin")

    with pytest.raises(ValueError, match="not the name of one file"):
        root.remove(name, "a.bin")
    with pytest.raises(ValueError, match="not the name of one file"):
        root.finished(directory, name)


def test_link_in_a_directorys_place_is_not_followed(root: Root, tmp_path: Path) -> None:
    """What it leads to stays."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.bin").write_text("precious")
    (root.path / "tmplink").symlink_to(elsewhere)

    root.remove("tmplink", "a.bin")
    root.sweep(set())

    assert (elsewhere / "a.bin").read_text() == "precious"


@pytest.mark.parametrize(
    ("local_dir", "held"), [("", True), ("a", True), ("a/../b", True), ("..", False), ("../rooted", False)]
)
def test_path_of_a_client_is_below_the_root_or_not(root: Root, local_dir: str, held: bool) -> None:
    """Judged by where it leads, not by how it begins."""
    assert root.holds(f"{root.path}/{local_dir}") is held


def test_sweep_takes_empty_directories_of_nobody(root: Root) -> None:
    """What was made and never used goes; what a transfer has, or holds anything, stays."""
    known, unknown, full = root.fresh(), root.fresh(), fetched(root, "a.bin")

    root.sweep({known})

    assert [root.has(each) for each in (known, unknown, full)] == [True, False, True]
