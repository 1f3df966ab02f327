"""`fswire doctor`: what stands in an agent's way is found, with what to do about it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.kafka import KafkaSettings
from agent.settings import AgentSettings
from deploy import command, doctor, doctor_kernel, doctor_tree
from deploy.doctor_finding import Finding
from deploy.doctor_kernel import InUse
from deploy.doctor_tree import Tree

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify's limits are Linux's")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with three directories below it."""
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "c").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    return tmp_path / "root"


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    """Return a directory like /proc/sys/fs/inotify."""
    for name, value in (
        ("max_user_watches", 1000),
        ("max_user_instances", 2),
        ("max_queued_events", 16_384),
    ):
        (tmp_path / name).write_text(f"{value}\n")
    return tmp_path


def _by_check(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def _settings(root: Path, tmp_path: Path, **more: object) -> AgentSettings:
    values = {"roots": [{"dir": root, "project": "p"}], "state_dir": tmp_path / "state", "stdout": True}
    return AgentSettings(**(values | more))  # type: ignore[arg-type]


def _examined(settings: AgentSettings) -> dict[str, Finding]:
    return _by_check(doctor.examine(settings, KafkaSettings(), ()))


def test_directories_are_counted_without_links_and_our_own(root: Path) -> None:
    """Links are not followed, and what is fswire's own needs no watch."""
    assert doctor_tree.count(root) == Tree(4, 0)
    assert doctor_tree.count(root, frozenset([str(root / "a")])) == Tree(2, 0)


def test_counting_ends_in_time(root: Path) -> None:
    """A tree that is too large is said to have more."""
    tree = doctor_tree.count(root, longest_s=-1)

    assert tree.more
    assert "more than 1 directories" in doctor_tree.readable("/x", tree).said


def test_unreadable_directories_are_a_warning() -> None:
    """What cannot be read cannot be watched either."""
    finding = doctor_tree.readable("/etc", Tree(1200, 3))

    assert (finding.verdict, finding.said) == (
        "warning",
        "/etc has 1,200 directories, of which 3 cannot be read",
    )
    assert "CAP_DAC_READ_SEARCH" in finding.todo


@pytest.mark.parametrize(
    ("directories", "others", "verdict", "coverage"),
    [
        (100, 0, "ok", "100%"),
        (600, 0, "warning", "100%"),
        (1500, 0, "problem", "67%"),
        (10, 1000, "problem", "0%"),
    ],
)
def test_watch_limit_is_compared(
    limits: Path, directories: int, others: int, verdict: str, coverage: str
) -> None:
    """The share that can be watched, and the exact line that raises the limit."""
    finding = _by_check(doctor_kernel.limits(Tree(directories, 0), 1, InUse(others, 0), limits))["watches"]

    assert finding.verdict == verdict
    assert f"coverage {coverage}" in finding.said
    assert ("sysctl -w fs.inotify.max_user_watches=" in finding.todo) == (verdict != "ok")


def test_watch_limit_that_is_proposed_is_enough(limits: Path) -> None:
    """Whoever follows the advice is not told the same again."""
    todo = _by_check(doctor_kernel.limits(Tree(5000, 0), 1, InUse(300, 0), limits))["watches"].todo
    (limits / "max_user_watches").write_text(todo.partition("=")[2].partition(";")[0])

    assert _by_check(doctor_kernel.limits(Tree(5000, 0), 1, InUse(300, 0), limits))["watches"].verdict == "ok"


def test_instances_and_queue_are_compared(limits: Path) -> None:
    """Each root needs an instance; a queue that was made shorter is worth a warning."""
    (limits / "max_queued_events").write_text("100\n")
    findings = _by_check(doctor_kernel.limits(Tree(1, 0), 1, InUse(0, 2), limits))

    assert findings["instances"].verdict == "problem"
    assert "fs.inotify.max_user_instances=128" in findings["instances"].todo
    assert findings["queue"].verdict == "warning"
    assert "fs.inotify.max_queued_events=16384" in findings["queue"].todo


@linux
def test_watches_of_other_processes_are_counted(root: Path, tmp_path: Path) -> None:
    """The limit is a user's: what others of the same user hold is not left for the agent."""
    script = (
        "import sys, threading; from agent.inotify import Inotify; i = Inotify(threading.Event(), 0);"
        "i.__enter__(); [i.add(path.encode()) for path in sys.argv[1:]]; print('on', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root), str(root / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        processes = tmp_path / "processes"
        processes.mkdir()
        (processes / str(other.pid)).symlink_to(f"/proc/{other.pid}")
        in_use = doctor_kernel.in_use(tmp_path, processes)
        other.communicate(b"")

    assert in_use == InUse(2, 1)


@linux
def test_healthy_machine_has_no_problem(root: Path, tmp_path: Path) -> None:
    """A directory on a local disk that this user may read and keep a journal for."""
    findings = _examined(_settings(root, tmp_path, journal_max_bytes=16 * 1024**2))

    assert not [finding for finding in findings.values() if finding.verdict == "problem"]
    assert "would be watched by inotify" in findings["backend"].said
    assert "has 4 directories" in findings["tree"].said


def test_root_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    """Nothing else is said of it."""
    findings = _examined(_settings(tmp_path / "nowhere", tmp_path))

    assert findings["root"].verdict == "problem"
    assert "backend" not in findings


def test_network_file_system_is_polled(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no kernel events arrive the agent polls: a warning, and no place for a journal."""
    monkeypatch.setattr("agent.filesystem.type_at", lambda _: "nfs4")
    findings = _examined(_settings(root, tmp_path))

    assert findings["backend"].verdict == "warning"
    assert "nfs4 is a network file system" in findings["backend"].said
    assert findings["state"].verdict == "problem"
    assert "watches" not in findings


@pytest.mark.parametrize(("free", "verdict"), [(1, "problem"), (100 * 1024**2, "warning"), (10**12, "ok")])
def test_space_for_the_journal(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    """A journal that may grow beyond the disk is worth a warning, a disk that is full a problem."""
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("deploy.doctor.shutil.disk_usage", lambda _: usage)

    assert _examined(_settings(root, tmp_path))["space"].verdict == verdict


def test_state_that_cannot_be_written_is_a_problem(root: Path, tmp_path: Path) -> None:
    """A journal needs a directory; a file is none."""
    (tmp_path / "file").touch()
    finding = _examined(_settings(root, tmp_path, state_dir=tmp_path / "file" / "state"))["state"]

    assert finding.verdict == "problem"
    assert "state_dir" in finding.todo


@linux
def test_fanotify_that_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without actors events are whole, so it is a warning; where only fanotify is to watch, a problem."""
    monkeypatch.setattr("deploy.doctor_kernel._fanotify_refusal", lambda _: "Operation not permitted")
    (beside,) = doctor_kernel.actors(root, wanted=True, backend="inotify")
    (alone,) = doctor_kernel.actors(root, wanted=True, backend="fanotify")
    (unwanted,) = doctor_kernel.actors(root, wanted=False, backend="inotify")

    assert [each.verdict for each in (beside, alone, unwanted)] == ["warning", "problem", "ok"]
    assert "CAP_SYS_ADMIN" in beside.todo


def _run(*arguments: str) -> Result:
    kafka = {"FSWIRE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    return CliRunner().invoke(command.app, ["doctor", *arguments], env=kafka)


def test_doctor_command_says_what_to_do(root: Path) -> None:
    """A broker that does not answer is a problem, and the status says so; each line has verdict and check."""
    done = _run(str(root))

    assert done.exit_code == 1
    assert "ok       tree         " in done.stdout
    assert "problem  broker       127.0.0.1:1: " in done.stdout
    assert "-> check the broker, and FSWIRE_KAFKA_BOOTSTRAP_SERVERS" in done.stdout


def test_doctor_command_reads_an_agents_settings(root: Path, tmp_path: Path) -> None:
    """With --config what that agent would watch is looked at; with --json it is for programs."""
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{tmp_path}/s"\nroots = [{{dir = "{root}", project = "p"}}]\n')
    findings = [Finding(**each) for each in json.loads(_run("--config", str(config), "--json").stdout)]

    assert f"{tmp_path}/s can be written" in _by_check(findings)["state"].said
    assert f"{root} has 4 directories" in _by_check(findings)["tree"].said


def test_doctor_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    """It looks, and makes no state directory."""
    before = sorted(tmp_path.iterdir())
    _examined(_settings(root, tmp_path))

    assert sorted(tmp_path.iterdir()) == before
