"""Settings come from the command line, the environment and a file, and bad ones are refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.settings import SettingsRefused, read, state_dir


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return path


def test_settings_of_a_file(tmp_path: Path) -> None:
    """A TOML file names roots and everything else; `{host}` is the host's name."""
    path = _file(
        tmp_path, f'host = "h1"\nsettle_ms = 5\n[[roots]]\ndir = "{tmp_path}"\nproject = "etc-{{host}}"\n'
    )

    settings = read(path)

    (root,) = settings.named_roots()
    assert (root.project, root.dir, settings.settle_ms) == ("etc-h1", tmp_path.resolve(), 5)


def test_settings_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins over the environment, and that over the file."""
    path = _file(
        tmp_path,
        f'settle_ms = 1\ngrace_s = 1\nhost = "file"\nroots = [{{dir = "{tmp_path}", project = "p"}}]',
    )
    monkeypatch.setenv("FSWIRE_AGENT_SETTLE_MS", "2")
    monkeypatch.setenv("FSWIRE_AGENT_GRACE_S", "2")

    settings = read(path, settle_ms=3)

    assert (settings.settle_ms, settings.grace_s, settings.host) == (3, 2, "file")


def test_settings_kinds_as_text(tmp_path: Path) -> None:
    """Kinds are given separated by commas."""
    settings = read(roots=[{"dir": tmp_path, "project": "p"}], kinds="access, open")

    assert settings.kinds == {"access", "open"}


def test_state_directory_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State is kept where the desktop's base directory specification says."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    assert read(roots=[{"dir": tmp_path, "project": "p"}]).state_dir == tmp_path / "state" / "fswire"


def test_settings_of_a_root(tmp_path: Path) -> None:
    """Patterns and kinds are told for all roots and for each; `except` is spelt as in every other place."""
    path = _file(
        tmp_path,
        f"""
exclude = ["*.pyc"]
except = ["attribute"]
[[roots]]
dir = "{tmp_path}"
project = "p"
include = ["/src/"]
only = ["create", "delete"]
except = ["delete"]
""",
    )

    settings = read(path)
    (root,) = settings.named_roots()

    assert (settings.exclude, settings.except_) == (("*.pyc",), {"attribute"})
    assert (root.include, root.only, root.except_) == (("/src/",), {"create", "delete"}, {"delete"})


def test_example_of_the_reference(tmp_path: Path) -> None:
    """The file that the reference shows is one that can be used."""
    reference = (Path(__file__).parents[3] / "deploy/REFERENCE.md").read_text()
    (example,) = re.findall(r"```toml\n(# agent\.toml\n.*?)```", reference, re.DOTALL)

    settings = read(_file(tmp_path, example))

    assert [root.dir for root in settings.roots] == [Path("/etc"), Path("/srv/www")]
    assert settings.roots[1].include == ("*.html", "/conf/")


def test_settings_of_lists_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns are a JSON list, kinds are separated by commas."""
    monkeypatch.setenv("FSWIRE_AGENT_EXCLUDE", '["*.pyc", "a,b"]')
    monkeypatch.setenv("FSWIRE_AGENT_EXCEPT", "create, delete")
    monkeypatch.setenv("FSWIRE_AGENT_ONLY", "open")

    settings = read(roots=[{"dir": tmp_path, "project": "p"}])

    assert settings.exclude == ("*.pyc", "a,b")
    assert (settings.only, settings.except_) == ({"open"}, {"create", "delete"})


@pytest.mark.parametrize("told", [None, "file", "environment"])
def test_state_directory_is_found_without_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    """Whoever asks a running agent needs to know its state directory, and nothing else."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "default"))
    path = _file(tmp_path, 'state_dir = "/file"\n')
    if told == "environment":
        monkeypatch.setenv("FSWIRE_AGENT_STATE_DIR", "/environment")

    found = state_dir(path if told else None)

    assert found == {None: tmp_path / "default/fswire"}.get(told, Path(f"/{told}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 'red'", ("colour", "'red'")),
        ("settle_ms = 'soon'", ("settle_ms", "'soon'")),
        ("kinds = ['acces']", ("kinds", "'acces'")),
        ("backend = 'magic'", ("backend", "'magic'")),
        ("roots = [{dir = '/a', project = '/'}]", ("project", "'/'")),
        ("roots = [{dir = '/a', project = 'p', colour = 1}]", ("roots.0.colour", "1")),
        ("roots = [{dir = '/a', project = 'p'}, {dir = '/b', project = 'p'}]", ("project", "'p'")),
        ("roots = [{dir = '/a', project = 'p'}, {dir = '/a/b', project = 'q'}]", ("dir", "'/a'")),
        ("roots = []", ("roots",)),
        ("roots = [", ("agent.toml",)),
        ("except = ['creates']", ("except.0", "'creates'")),
        ("exclude = ['[a']", ("exclude", "'[a'")),
        ("roots = [{dir = '/a', project = 'p', include = ['!']}]", ("roots.0.include", "'!'")),
        ("listen = 'here'", ("listen", "'here'", "HOST:PORT")),
        ("roots = [{dir = '/a'}]", ("roots.0.project: is needed, and not set",)),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    """A refusal names the key and the value."""
    roots = "" if "roots" in text else f"\nroots = [{{dir = '{tmp_path}', project = 'p'}}]"
    with pytest.raises(SettingsRefused) as refused:
        read(_file(tmp_path, text + roots))

    assert all(part in str(refused.value) for part in said)
    assert len(str(refused.value).splitlines()) == 1


def test_unknown_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable would otherwise be a setting silently not made."""
    monkeypatch.setenv("FSWIRE_AGENT_SETTEL_MS", "5")
    with pytest.raises(SettingsRefused, match="FSWIRE_AGENT_SETTEL_MS = '5'"):
        read(roots=[{"dir": tmp_path, "project": "p"}])


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsRefused, match=r"nowhere\.toml"):
        read(tmp_path / "nowhere.toml")
