"""Which kinds are reported: `only`, `except` and `kinds`, of all roots and of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import kinds
from agent.settings import AgentSettings
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief, has

ORDINARY = {"create", "modify", "closeWrite", "delete", "rename", "attribute"}


@pytest.mark.parametrize(
    ("told", "of_root", "reported"),
    [
        ({}, {}, ORDINARY),
        ({"kinds": ["open"]}, {}, ORDINARY | {"open"}),
        ({"only": ["create", "open"]}, {}, {"create", "open"}),
        ({"only": ["create"], "kinds": ["open"]}, {}, {"create"}),
        ({"except": ["rename"]}, {}, ORDINARY - {"rename"}),
        ({"only": ["create"], "except": ["create"]}, {}, set()),
        ({"only": ["create"]}, {"only": ["delete"]}, {"delete"}),
        ({"except": ["create"]}, {"except": ["delete"]}, ORDINARY - {"create", "delete"}),
    ],
)
def test_kinds_that_are_reported(
    tmp_path: Path, told: dict[str, list[str]], of_root: dict[str, list[str]], reported: set[str]
) -> None:
    """(`only`, else all) less `except`; a root's `only` stands in place of the general one."""
    settings = AgentSettings.model_validate({"roots": [{"dir": tmp_path, "project": "p", **of_root}], **told})
    (root,) = settings.named_roots()

    assert kinds.reported(settings, root) == reported
    assert kinds.dropped(settings, root).isdisjoint({"gap", "gap_closed", "baseline"})


def test_only_is_all_that_is_reported(root: Path, watch: Callable[..., Watched]) -> None:
    """Other kinds are left out; what is found there first is reported all the same, as are gaps."""
    (root / "before").touch()
    watched = watch(only=["delete"])
    (root / "f").write_bytes(b"x")
    (root / "f").rename(root / "g")
    (root / "g").unlink()
    watched.stop()

    assert brief(watched.events()) == [("baseline", "before"), ("delete", "g")]


def test_except_does_not_keep_from_knowing(root: Path, tmp_path: Path) -> None:
    """The baseline is kept for kinds that are left out too: a later start finds only what is new."""
    with Watched(root, tmp_path / "state", **{"except": ["create", "closeWrite"]}) as first:
        (root / "f").write_bytes(b"x")
        first.stop()
        assert first.events() == []
    with Watched(root, tmp_path / "state") as second:
        second.stop()

        assert {event.kind for event in second.events()} == {"gap", "gap_closed"}


def test_only_switches_opens_on(root: Path, watch: Callable[..., Watched]) -> None:
    """`open` in `only` needs no `kinds`."""
    (root / "f").write_bytes(b"x")
    watched = watch(only=["open"], actors=False)  # this process is the agent
    watched.until(has("baseline", "f"))  # the agent has the file open no longer
    (root / "f").chmod(0o600)  # the kernel merges an open with the agent's, unless something lies between
    os.close(os.open(root / "f", os.O_RDONLY))
    watched.stop()

    assert brief(watched.events())[1:] == [("open", "f")]
    assert replay(watched.events()) == on_disk(root)
