"""New settings take effect between two records: nothing is lost, nothing told twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.reload import plan
from agent.settings import AgentSettings
from tests.unit.agent.processes import Process
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief, has

Watch = Callable[..., Watched]
Spawn = Callable[..., Process]

_RUN = """
import sys
from pathlib import Path
from agent import run, settings
from agent.kafka import KafkaSettings
def reread():
    return settings.read(Path(sys.argv[2]), state_dir=sys.argv[1], stdout=True)
sys.exit(run.main(reread(), KafkaSettings(), reread))
"""


def _settings(*roots: tuple[Path, str], **others: object) -> AgentSettings:
    return AgentSettings.model_validate(
        {"roots": [{"dir": path, "project": project} for path, project in roots], "host": "h", **others}
    )


def test_plan_of_roots(tmp_path: Path) -> None:
    """Roots begin, end and go on by project and directory."""
    one, two, three = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    before = _settings((one, "a"), (two, "b"), (three, "c"))
    after = _settings((one, "a"), (three, "b"), (tmp_path / "4", "d"))
    todo = plan(before, after)

    assert [(root.project, root.dir.name) for root in todo.going_on] == [("a", "1")]
    assert [(root.project, root.dir.name) for root in todo.ending] == [("b", "2"), ("c", "3")]
    assert [(root.project, root.dir.name) for root in todo.beginning] == [("b", "3"), ("d", "4")]


def test_plan_keeps_what_needs_a_restart(tmp_path: Path) -> None:
    """What the agent was made of stays as it was, and is named; the rest is new."""
    before = _settings((tmp_path, "a"), state_dir=tmp_path / "s", settle_ms=1)
    after = _settings((tmp_path, "a"), state_dir=tmp_path / "t", settle_ms=2, backend="poll")
    todo = plan(before, after)

    assert todo.unchanged == ("state_dir", "backend")
    assert (todo.settings.state_dir, todo.settings.backend) == (tmp_path / "s", "auto")
    assert todo.settings.settle_ms == 2


def test_patterns_change_in_a_running_session(root: Path, watch: Watch) -> None:
    """What becomes visible is baseline, what becomes hidden is moved out, what stays is not mentioned."""
    (root / "a.log").write_bytes(b"1")
    (root / "a.tmp").write_bytes(b"2")
    (root / "kept").write_bytes(b"3")
    (root / "cache").mkdir()
    (root / "cache/f").write_bytes(b"4")
    watched = watch(exclude=["*.tmp", "cache/"])
    before = len(watched.events())
    watched.change(exclude=["*.log"])
    watched.until(has("baseline", "cache/f"))
    watched.until(lambda events: any(event.extra == "excluded" for event in events))
    (root / "cache/g").write_bytes(b"5")
    (root / "b.log").write_bytes(b"6")
    watched.stop()

    events = watched.events()
    told = [(event.kind, event.path, event.moved, event.extra) for event in events[before:]]
    assert sorted(told[:4]) == [
        ("baseline", "a.tmp", None, None),
        ("baseline", "cache", None, None),
        ("baseline", "cache/f", None, None),
        ("rename", "a.log", "out", "excluded"),
    ]
    assert [event[:2] for event in told[4:]] == [("create", "cache/g"), ("closeWrite", "cache/g")]
    assert "gap" not in {event.kind for event in events}
    for hidden in ("a.log", "b.log"):
        (root / hidden).unlink()
    assert replay(events) == on_disk(root)


@pytest.mark.parametrize("backend", ["watchfiles", "poll"])
def test_patterns_change_whatever_the_backend(root: Path, watch: Watch, backend: str) -> None:
    """Every backend takes new settings without beginning anew."""
    (root / "a.log").write_bytes(b"1")
    (root / "a.tmp").write_bytes(b"2")
    watched = watch(backend=backend, poll_every_s=0.1, exclude=["*.tmp"])
    watched.change(backend=backend, poll_every_s=0.1, exclude=["*.log"])
    watched.until(has("baseline", "a.tmp"))
    watched.until(lambda events: any(event.extra == "excluded" for event in events))
    watched.stop()

    assert {(event.kind, event.path, event.extra) for event in watched.events()} == {
        ("baseline", "a.log", None),
        ("rename", "a.log", "excluded"),
        ("baseline", "a.tmp", None),
    }


def test_kinds_change_in_a_running_session(root: Path, watch: Watch) -> None:
    """Opens are told from then on of directories that were watched before; then no more."""
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    watched = watch()
    watched.change(kinds=["open"], only=["open", "create"])

    def opened(events: list[object]) -> bool:
        os.close(os.open(root / "d/f", os.O_RDONLY))
        return len(events) > 2

    watched.until(opened)
    watched.change(only=["create"])
    (root / "g").touch()
    watched.until(has("create", "g"))
    os.close(os.open(root / "d/f", os.O_RDONLY))
    watched.stop()

    events = brief(watched.events())
    assert set(events[2:-1]) == {("open", "d/f")}
    assert events[-1] == ("create", "g")


def _storm(directory: Path, count: int) -> None:
    for index in range(count):
        (directory / f"{index}").write_bytes(b"x")
        (directory / f"{index}.skip").touch()
        (directory / f"{index}").rename(directory / f"r{index}")


def test_reloads_in_a_storm_lose_nothing(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """Twenty SIGHUPs that change patterns and kinds amid creates and renames: each is there exactly once."""
    config = tmp_path / "agent.toml"
    variants = [
        'settle_ms = 60000\nexclude = ["*.skip"]\n',
        'settle_ms = 60000\nexclude = ["*.skip", "never/"]\nkinds = ["open"]\n',
        'settle_ms = 70000\nexclude = ["/x/y", "*.skip"]\nexcept = ["attribute"]\n',
    ]
    roots = f'[[roots]]\ndir = "{root}"\nproject = "p"\n'
    config.write_text(variants[0] + roots)
    (root / "d").mkdir()
    output = tmp_path / "events"
    storm = threading.Thread(target=_storm, args=(root / "d", 1500))
    with output.open("w") as file:
        agent = spawn(tmp_path / "state", config, script=_RUN, output=file)
        agent.said("started")
        storm.start()
        for turn in range(20):
            config.write_text(variants[turn % 3] + roots)
            agent.process.send_signal(signal.SIGHUP)
            agent.said("reloaded")
        storm.join()
        status, _, _ = agent.stop()

    events = [json.loads(line) for line in output.read_text().splitlines()]
    told = Counter((event["kind"], event["path"]) for event in events if event["kind"] != "open")
    assert status == 0
    assert set(told.values()) == {1}
    assert Counter(kind for kind, _ in told) == {
        "baseline": 1,
        "create": 1500,
        "closeWrite": 1500,
        "rename": 1500,
    }


def test_reload_starts_and_stops_roots(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """A root that is added is watched, one that is taken away is not any more, the others do not notice."""
    one, two = root / "one", root / "two"
    one.mkdir()
    two.mkdir()
    config = tmp_path / "agent.toml"
    kept = f'[[roots]]\ndir = "{one}"\nproject = "one"\n'
    config.write_text(kept)
    agent = spawn(tmp_path / "state", config, script=_RUN)
    agent.said("started")
    config.write_text(f'{kept}[[roots]]\ndir = "{two}"\nproject = "two"\n')
    agent.process.send_signal(signal.SIGHUP)
    began = agent.said("reloaded")
    (two / "seen").mkdir()
    seen = agent.heard()
    config.write_text(kept)
    agent.process.send_signal(signal.SIGHUP)
    ended = agent.said("reloaded")
    (two / "unseen").mkdir()
    (one / "still").mkdir()
    still = agent.heard()
    status, rest, _ = agent.stop()

    assert (began["beginning"], began["going_on"]) == (["two"], ["one"])
    assert (ended["ending"], ended["going_on"]) == (["two"], ["one"])
    assert (seen["path"], still["path"]) == ("seen", "still")
    assert (status, rest) == (0, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1\n", "colour = 1"),
        ("exclude = ['[a']\n", "'[a'"),
        ("[[roots]]\ndir = '/nowhere/at/all'\nproject = 'q'\n", "/nowhere/at/all"),
    ],
)
def test_refused_reload_goes_on_as_before(
    spawn: Spawn, root: Path, tmp_path: Path, text: str, said: str
) -> None:
    """Settings that cannot be used are an error in the log with key and value; nothing changes."""
    config = tmp_path / "agent.toml"
    roots = f'[[roots]]\ndir = "{root}"\nproject = "p"\n'
    config.write_text(roots)
    agent = spawn(tmp_path / "state", config, script=_RUN)
    agent.said("started")
    config.write_text(text + roots if "roots" not in text else roots + text)
    agent.process.send_signal(signal.SIGHUP)
    refused = agent.said("reload_refused")
    (root / "d").mkdir()
    heard = agent.heard()
    status, rest, _ = agent.stop()

    assert said in str(refused["error"])
    assert refused["level"] == "error"
    assert heard["path"] == "d"
    assert (status, rest) == (0, "")
