"""Which backend a root gets and why, and that each declaration has a session behind it."""

from __future__ import annotations

import importlib
from typing import get_args

import pytest

from agent import backends
from agent.backends import BACKENDS, Backend, BackendRefused, choose, is_there
from agent.settings import AgentSettings
from agent.settings import Backend as Setting


def _on(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(backends.filesystem, "type_at", lambda _: kind)


def test_every_setting_has_a_backend() -> None:
    """What may be asked for is declared, and the other way round; auto is none."""
    assert set(get_args(Setting)) == {*BACKENDS, "auto"}
    assert AgentSettings.model_fields["backend"].default == "auto"


def test_auto_on_linux_is_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local file system on Linux gets the one that sees the whole history."""
    _on(monkeypatch, "ext4")
    choice = choose("auto", b"/data", platform="linux")

    assert (choice.backend.name, choice.unwanted) == ("inotify", False)
    assert not choice.backend.folded


def test_auto_on_a_network_file_system_is_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no kernel event comes the tree is listed, and the reason names the file system's type."""
    _on(monkeypatch, "nfs4")
    choice = choose("auto", b"/mnt/share", platform="linux")

    assert (choice.backend.name, choice.unwanted) == ("poll", True)
    assert "nfs4" in choice.why


def test_auto_elsewhere_is_watchfiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without inotify there is watchfiles."""
    _on(monkeypatch, "")
    choice = choose("auto", b"/data", platform="darwin")

    assert choice.backend.name == "watchfiles"
    assert "darwin" in choice.why


def test_what_is_asked_for_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend asked for by name is used even where auto would take another."""
    _on(monkeypatch, "nfs4")

    assert choose("inotify", b"/mnt/share", platform="linux").backend.name == "inotify"


def test_backend_of_another_platform_is_refused() -> None:
    """Asking for what this platform does not have is an error that names it, not a fallback."""
    with pytest.raises(BackendRefused, match=r"inotify.*darwin"):
        choose("inotify", b"/data", platform="darwin")


@pytest.mark.parametrize("backend", [each for each in BACKENDS.values() if is_there(each)])
def test_declared_session_exists(backend: Backend) -> None:
    """Each declaration names a class that can be imported, though it is imported only when it is used."""
    module, _, name = backend.session.partition(":")

    assert callable(getattr(importlib.import_module(module), name).run)
