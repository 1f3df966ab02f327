"""Which directories `fswire up` may watch, and as which projects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.watched import Watched, WatchedRefused, project_of, watched

DATA = Path("/nowhere/data")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("src", "docs", "docs/inner", "a=b"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    return tmp_path.resolve()


def test_watched_directory_is_a_project_of_its_name(root: Path) -> None:
    """Without a name, the directory's own is the project's."""
    found = watched([f"{root}/src/", f"{root}/docs"], DATA)

    assert found == [Watched("src", root / "src"), Watched("docs", root / "docs")]


def test_watched_name_before_the_directory_is_the_project(root: Path) -> None:
    """NAME=DIR gives the project its name."""
    assert watched([f"proj_1={root}/src"], DATA) == [Watched("proj_1", root / "src")]


def test_watched_directory_with_an_equals_sign(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a slash before the equals sign has no name."""
    monkeypatch.chdir(root)

    assert watched(["./a=b"], DATA) == [Watched("a-b", root / "a=b")]


def test_watched_link_is_the_directory_that_it_names(root: Path) -> None:
    """Links are followed, so that one tree is not watched twice under two names."""
    (root / "link").symlink_to("src")

    assert watched([f"{root}/link"], DATA) == [Watched("src", root / "src")]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{root}/none"], "/none does not exist"),
        (["name={root}/none"], "/none does not exist"),
        (["{root}/file"], "/file is not a directory"),
        (["=x"], "=x does not exist"),
        (["name="], "'name=' names no directory"),
        ([""], "'' names no directory"),
        (["no name={root}/src"], "'no name' cannot be a project's name"),
        (["fswire-probe={root}/src"], "'fswire-probe' cannot be a project's name"),
        (["x={root}/src", "x={root}/docs"], "would both be project x"),
        (["{root}/docs", "{root}/docs/inner"], "lie one in the other"),
        (["a={root}/src", "b={root}/src"], "lie one in the other"),
    ],
)
def test_watched_refuses(root: Path, arguments: list[str], reason: str) -> None:
    """What cannot be watched is refused before anything starts, by name."""
    with pytest.raises(WatchedRefused, match=reason):
        watched([argument.format(root=root) for argument in arguments], DATA)


def test_watched_refuses_a_directory_inside_the_data_directory(root: Path) -> None:
    """Watching what fswire itself writes would never end."""
    with pytest.raises(WatchedRefused, match="lies inside the data directory"):
        watched([f"{root}/docs/inner"], root / "docs")


def test_watched_may_hold_the_data_directory(root: Path) -> None:
    """A data directory below is left to the agent, which excludes it."""
    assert watched([f"{root}/docs"], root / "docs" / "data") == [Watched("docs", root / "docs")]


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("src", "src"),
        ("My Files", "My-Files"),
        ("Öl & Gas", "Ol-Gas"),
        (".config", "config"),
        ("日本", "root"),
        ("", "root"),
        ("x" * 300, "x" * 128),
        (os.fsdecode(b"caf\xe9"), "caf"),
    ],
)
def test_project_of_any_name_is_a_project_id(name: str, project: str) -> None:
    """A project id is made of any directory's name."""
    assert project_of(Path("/tmp") / name if name else Path("/")) == project
