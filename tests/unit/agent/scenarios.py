"""What can happen to a tree, and what has to be told of it: the contract that every backend is held to.

A scenario is a few operations on real files, and the events that a backend which sees everything tells of
them, in order. What a backend cannot see stands in its declaration (`agent.backends`) and is not asked of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.unit.agent.exchanging import exchange

Told = tuple[str, ...]
"""Kind and path, of a rename within also its new path; `None` is not written."""
Act = Callable[[Path, Path], IO[bytes] | None]
"""Gets the watched root and a directory beside it; returns a file that stays open until all is told."""


@dataclass(frozen=True)
class Scenario:
    """Operations, and what is told of them."""

    name: str
    act: Act
    sees: tuple[Told, ...]
    prepare: Act = lambda _root, _aside: None
    """What is there before anyone watches."""
    exact: bool = True
    """False: what is told of it, and in which order, depends on who is faster; `sees` has all that may be."""
    foldable: frozenset[Told] = frozenset()
    """What of `sees` may be gone before a backend without history has looked."""

    @property
    def settles(self) -> bool:
        """Tell whether something is told of a file that is not closed, once its window is over."""
        return any(kind == "modify" for kind, *_ in self.sees)


def _tree(root: Path, _aside: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").write_bytes(b"deep")
    (root / "a").write_bytes(b"alpha")
    (root / "b").write_bytes(b"beta!")


def outside(root: Path, aside: Path) -> None:
    """Make a small tree to watch, and one beside it."""
    _tree(root, aside)
    (aside / "tree/sub").mkdir(parents=True)
    (aside / "tree/sub/x").write_bytes(b"x")
    (aside / "tree/y").write_bytes(b"y")


def _write(root: Path, _aside: Path) -> None:
    (root / "f").write_bytes(b"content")


def _append(root: Path, _aside: Path) -> None:
    with (root / "a").open("ab") as file:
        file.write(b" and more")


def _truncate(root: Path, _aside: Path) -> None:
    os.truncate(root / "a", 2)


def _save(root: Path, _aside: Path) -> None:
    (root / "a.tmp").write_bytes(b"saved")
    (root / "a.tmp").rename(root / "a")


def _delete(root: Path, _aside: Path) -> None:
    (root / "a").unlink()


def _directory(root: Path, _aside: Path) -> None:
    (root / "new").mkdir()
    (root / "d/e/f").unlink()
    (root / "d/e").rmdir()


def _deep(root: Path, _aside: Path) -> None:
    (root / "1/2/3/4/5/6").mkdir(parents=True)
    (root / "1/2/3/4/5/6/f").write_bytes(b"f")
    (root / "1/2/g").write_bytes(b"g")


def _rename(root: Path, _aside: Path) -> None:
    (root / "a").rename(root / "d/moved")


def _rename_directory(root: Path, _aside: Path) -> None:
    (root / "d").rename(root / "other")


def _rename_and_write(root: Path, _aside: Path) -> None:
    (root / "a").rename(root / "z")
    (root / "z").write_bytes(b"other content")


def _rename_out(root: Path, aside: Path) -> None:
    (root / "d").rename(aside / "d")
    (root / "a").rename(aside / "a")


def _rename_in(root: Path, aside: Path) -> None:
    (aside / "tree").rename(root / "d/tree")


def _rename_over(root: Path, _aside: Path) -> None:
    (root / "a").rename(root / "b")


def _rename_over_directory(root: Path, _aside: Path) -> None:
    (root / "empty").rename(root / "d/e")


def _with_empty(root: Path, aside: Path) -> None:
    _tree(root, aside)
    (root / "empty").mkdir()
    (root / "d/e/f").unlink()


def _rename_over_out(root: Path, aside: Path) -> None:
    (aside / "tree/y").rename(root / "a")


def _rename_case(root: Path, _aside: Path) -> None:
    (root / "a").rename(root / "A")


def _rotate(root: Path, _aside: Path) -> None:
    (root / "b").rename(root / "c")
    (root / "a").rename(root / "b")
    (root / "a").write_bytes(b"new")


def _turn_over(root: Path, _aside: Path) -> None:
    (root / "d/e").rename(root / "e")
    (root / "d").rename(root / "e/d")


def _into_new(root: Path, _aside: Path) -> None:
    (root / "new").mkdir()
    (root / "a").rename(root / "new/a")
    (root / "d").rename(root / "new/d")


def _out_of_removed(root: Path, _aside: Path) -> None:
    (root / "d/e/f").rename(root / "f")
    shutil.rmtree(root / "d")


def _exchange(root: Path, _aside: Path) -> None:
    exchange(root / "a", root / "b")


def _links(root: Path, _aside: Path) -> None:
    (root / "soft").symlink_to("a")
    (root / "broken").symlink_to("nowhere")
    (root / "to-directory").symlink_to("d")
    (root / "hard").hardlink_to(root / "a")


def _attributes(root: Path, _aside: Path) -> None:
    (root / "a").chmod(0o640 if (root / "a").stat().st_mode & 0o777 != 0o640 else 0o600)
    os.utime(root / "b", ns=(1_000_000_000, 2_000_000_000))
    (root / "d/e").chmod(0o710)


def _owner(root: Path, _aside: Path) -> None:
    os.chown(root / "a", 1234, 4321)


def _streams(root: Path, _aside: Path) -> None:
    os.setxattr(root / "a", "user.colour", b"red")


LONG = "n" * 251 + ".txt"
ODD = ("line\nbreak", "bad\udcff", LONG, " ", "ünï", "tab\t", "-rf", "*")


def _names(root: Path, _aside: Path) -> None:
    for name in ODD:
        (root / name).mkdir()
        (root / name / name).write_bytes(b"x")


def _still_open(root: Path, _aside: Path) -> IO[bytes]:
    file = (root / "open").open("wb")
    file.write(b"not closed yet")
    file.flush()
    return file


def _remake(root: Path, _aside: Path) -> None:
    shutil.rmtree(root / "d")
    (root / "d").mkdir()
    (root / "d/e").write_bytes(b"a file now")


def _short_lived(root: Path, _aside: Path) -> None:
    (root / "gone").write_bytes(b"x")
    (root / "gone").unlink()
    (root / "gone").mkdir()
    (root / "gone").rmdir()


def turn_everything(root: Path, aside: Path) -> None:
    """Do a little of everything at once."""
    _rename_in(root, aside)
    _links(root, aside)
    (root / "d/tree/sub").rename(root / "sub")
    _rename_over(root, aside)
    _append_to_all(root, aside)
    shutil.rmtree(root / "d/e")


def _append_to_all(root: Path, _aside: Path) -> None:
    for path in [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]:
        with path.open("ab") as file:
            file.write(b"more")


def _many(root: Path, _aside: Path) -> None:
    for number in range(20):
        (root / f"{number:02}").mkdir()
        (root / f"{number:02}/f").write_bytes(str(number).encode())
    for number in range(0, 20, 2):
        (root / f"{number:02}").rename(root / f"d/{number:02}")
    for number in range(1, 20, 4):
        shutil.rmtree(root / f"{number:02}")


SCENARIOS = (
    Scenario(
        "write", _write, (("create", "f"), ("closeWrite", "f")), foldable=frozenset({("closeWrite", "f")})
    ),
    Scenario("append", _append, (("closeWrite", "a"),), _tree),
    Scenario("truncate", _truncate, (("modify", "a"),), _tree),
    Scenario(
        "atomic save",
        _save,
        (("create", "a.tmp"), ("closeWrite", "a.tmp"), ("delete", "a"), ("rename", "a.tmp", "a")),
        _tree,
        foldable=frozenset({("closeWrite", "a.tmp"), ("rename", "a.tmp", "a")}),
    ),
    Scenario("delete", _delete, (("delete", "a"),), _tree),
    Scenario("directory", _directory, (("create", "new"), ("delete", "d/e/f"), ("delete", "d/e")), _tree),
    Scenario(
        "deep tree at once",
        _deep,
        (
            *(("create", "1/2/3/4/5/6"[:end]) for end in range(1, 12, 2)),
            *((kind, path) for path in ("1/2/3/4/5/6/f", "1/2/g") for kind in ("create", "closeWrite")),
        ),
        exact=False,
    ),
    Scenario("rename", _rename, (("rename", "a", "d/moved"),), _tree),
    Scenario("rename a full directory", _rename_directory, (("rename", "d", "other"),), _tree),
    Scenario(
        "rename and write",
        _rename_and_write,
        (("rename", "a", "z"), ("closeWrite", "z")),
        _tree,
    ),
    Scenario("rename out", _rename_out, (("rename", "d"), ("rename", "a")), outside),
    Scenario(
        "rename in",
        _rename_in,
        (
            ("rename", "d/tree"),
            ("create", "d/tree/sub"),
            ("create", "d/tree/y"),
            ("create", "d/tree/sub/x"),
        ),
        outside,
    ),
    Scenario("rename over", _rename_over, (("delete", "b"), ("rename", "a", "b")), _tree),
    Scenario(
        "rename over a directory",
        _rename_over_directory,
        (("delete", "d/e"), ("rename", "empty", "d/e")),
        _with_empty,
    ),
    Scenario("rename in over", _rename_over_out, (("delete", "a"), ("rename", "a")), outside),
    Scenario("rename case only", _rename_case, (("rename", "a", "A"),), _tree),
    Scenario(
        "rotate",
        _rotate,
        (("rename", "b", "c"), ("rename", "a", "b"), ("create", "a"), ("closeWrite", "a")),
        _tree,
        foldable=frozenset({("closeWrite", "a")}),
    ),
    Scenario(
        "turn over",
        _turn_over,
        (("rename", "d/e", "e"), ("rename", "d", "e/d")),
        _tree,
        foldable=frozenset({("rename", "d/e", "e")}),
    ),
    Scenario(
        "into a new directory",
        _into_new,
        (("create", "new"), ("rename", "a", "new/a"), ("rename", "d", "new/d")),
        _tree,
    ),
    Scenario(
        "out of a removed directory",
        _out_of_removed,
        (("rename", "d/e/f", "f"), ("delete", "d/e"), ("delete", "d")),
        _tree,
    ),
    Scenario(
        "exchange",
        _exchange,
        (("delete", "b"), ("rename", "a", "b"), ("create", "a")),
        _tree,
        foldable=frozenset({("rename", "a", "b")}),
    ),
    Scenario(
        "links",
        _links,
        (("create", "soft"), ("create", "broken"), ("create", "to-directory"), ("create", "hard")),
        _tree,
    ),
    Scenario(
        "attributes", _attributes, (("attribute", "a"), ("attribute", "b"), ("attribute", "d/e")), _tree
    ),
    Scenario("owner", _owner, (("attribute", "a"),), _tree),
    Scenario("streams", _streams, (("attribute", "a"),), _tree),
    Scenario(
        "odd names",
        _names,
        tuple(
            (kind, path)
            for name in ODD
            for kind, path in (
                ("create", name),
                ("create", f"{name}/{name}"),
                ("closeWrite", f"{name}/{name}"),
            )
        ),
        exact=False,
    ),
    Scenario("still open", _still_open, (("create", "open"), ("modify", "open"))),
    Scenario(
        "directory made again",
        _remake,
        (
            ("delete", "d/e/f"),
            ("delete", "d/e"),
            ("delete", "d"),
            ("create", "d"),
            ("create", "d/e"),
            ("closeWrite", "d/e"),
        ),
        _tree,
        exact=False,
    ),
    Scenario(
        "short-lived",
        _short_lived,
        (
            ("create", "gone"),
            ("closeWrite", "gone"),
            ("delete", "gone"),
            ("create", "gone"),
            ("delete", "gone"),
        ),
        foldable=frozenset({("closeWrite", "gone")}),
    ),
    Scenario(
        "many",
        _many,
        tuple(
            told
            for path in (f"{number:02}" for number in range(20))
            for at in (path, f"d/{path}")
            for told in (
                ("create", at),
                ("create", f"{at}/f"),
                ("closeWrite", f"{at}/f"),
                ("rename", path, f"d/{path}"),
                ("delete", f"{at}/f"),
                ("delete", at),
            )
        ),
        _tree,
        exact=False,
    ),
)
