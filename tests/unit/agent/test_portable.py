"""What a root watched through watchfiles reports: the right tree, operations between two looks folded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, bring_back, has

Watch = Callable[..., Watched]


def test_portable_reports_the_tree(root: Path, tmp_path: Path, watch: Watch) -> None:
    """Creations, writes, renames and removals end in the tree on disk, by looks at what changed."""
    (root / "old").mkdir()
    (root / "old/f").write_bytes(b"x")
    watched = watch(backend="watchfiles")
    (root / "new/deep").mkdir(parents=True)
    (root / "new/deep/g").write_bytes(b"y")
    (root / "old").rename(root / "renamed")
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    (root / "renamed/f").write_bytes(b"changed")
    shutil.rmtree(root / "new")
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    watched.stop()

    found = [event for event in watched.events() if event.kind not in ("baseline", "gap", "gap_closed")]
    assert {event.source for event in found} == {"rescan"}
    assert {event.kind for event in found} <= {"create", "delete", "modify", "attribute"}


def test_portable_gives_up_on_names_that_are_no_text(root: Path, watch: Watch) -> None:
    """watchfiles fails at each look at such a name: the loss is said, and the tree is polled from then on."""
    watched = watch(backend="watchfiles", poll_every_s=0.05)
    (root / "bad\udcff").mkdir()
    (root / "bad\udcff/f").write_bytes(b"x")
    watched.until(has("gap_closed", ""))
    (root / "bad\udcff/f").write_bytes(b"y")
    watched.until(lambda events: replay(events) == on_disk(root))

    assert watched.coverage.backend == "poll"


def test_portable_root_removed_and_back(root: Path, watch: Watch) -> None:
    """A root that goes is a gap; when it is back, what differs is reported and the gap closed."""
    (root / "f").write_bytes(b"x")
    watched = watch(backend="watchfiles")
    shutil.rmtree(root)
    watched.until(lambda events: events[-1].kind == "gap")
    bring_back(root, g=b"y")
    watched.until(lambda events: events[-1].kind == "gap_closed")
    watched.stop()

    assert replay(watched.events()) == on_disk(root)
