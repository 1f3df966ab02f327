"""The tree of directories: renames carry descendants, removals give watches back."""

from __future__ import annotations

from agent.watches import Watches


def _tree() -> Watches:
    tree = Watches(1, "16")
    a = tree.add(tree.root, b"a", 2)
    b = tree.add(a, b"b", 3)
    a.file_id, b.file_id = "20", "30"
    for wd, directory in enumerate((tree.root, a, b), start=1):
        tree.bind(directory, wd)
    return tree


def test_watches_path_and_spine() -> None:
    """A directory's path and ids run from the root down."""
    tree = _tree()
    b = tree.of(3)
    assert b is not None

    assert tree.path(b) == b"a/b"
    assert tree.spine(b) == ["2", "16", "20", "30"]


def test_watches_rename_keeps_descendants_watched() -> None:
    """A rename changes every path below at once and no watch at all."""
    tree = _tree()
    a, b = tree.of(2), tree.of(3)
    assert a is not None
    assert b is not None
    assert tree.path(b) == b"a/b"
    tree.move(a, tree.root, b"z")

    assert tree.path(b) == b"z/b"
    assert tree.of(3) is b


def test_watches_count_directories() -> None:
    """Those that are in the tree count, the root with them, whether watched or not."""
    tree = _tree()
    before = tree.directories
    a = tree.of(2)
    assert a is not None
    tree.add(tree.root, b"unwatched", 4)
    tree.remove(a)

    assert (before, tree.directories, len(tree)) == (3, 2, 1)


def test_watches_remove_gives_back_all_watches_below() -> None:
    """What is removed is unknown by watch and by name."""
    tree = _tree()
    a, b = tree.of(2), tree.of(3)
    assert a is not None
    assert b is not None

    assert sorted(tree.remove(a)) == [2, 3]
    assert tree.of(2) is tree.of(3) is None
    assert b.gone
    assert len(tree) == 1
