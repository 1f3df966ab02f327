"""The systemd unit of an agent: what systemd understands, and no more than an agent needs."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agent.kafka import KafkaSettings
from agent.settings import read
from deploy import command, settings_file

TOP = Path(__file__).parents[3]
SYSTEMD = TOP / "deploy" / "systemd"
UNIT = SYSTEMD / "fswire-agent.service"
NOBODY = 65534


def _parsed(name: str = UNIT.name) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((SYSTEMD / name).read_text())
    return parser


def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    """Every key of the unit and its drop-in is one that systemd knows."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/fswire/bin/fswire", sys.executable))
    (tmp_path / f"{UNIT.name}.d").mkdir()
    shutil.copy(SYSTEMD / "actors.conf", tmp_path / f"{UNIT.name}.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_unit_starts_a_command_that_there_is() -> None:
    """What ExecStart names is a command of `fswire`, with options that it has."""
    program, *words = _parsed()["Service"]["ExecStart"].split()
    group = typer.main.get_command(command.app)
    context = group.make_context("fswire", words, resilient_parsing=True)
    name, found, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
    options = {
        option for each in getattr(found, "commands", {"": found}).values() for option in _options(each)
    }

    assert Path(program).name == "fswire"
    assert name == "agent"
    assert {word for word in rest if word.startswith("--")} <= options


def _options(found: object) -> set[str]:
    return {option for parameter in found.params for option in parameter.opts}  # type: ignore[attr-defined]


def test_unit_is_hardened_and_bounded() -> None:
    """No new privileges, the least capabilities, and bounds on CPU and memory; it comes back by itself."""
    service = _parsed()["Service"]

    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_DAC_READ_SEARCH"
    assert service["User"] != "root"
    assert service["CPUQuota"]
    assert service["MemoryMax"]
    assert service["Restart"] == "always"
    assert service["ExecReload"].split()[1:] == ["-HUP", "$MAINPID"]


def test_actors_ask_for_more_in_a_file_of_their_own() -> None:
    """CAP_SYS_ADMIN is nearly everything: only who wants actors gives it."""
    more = _parsed("actors.conf")["Service"]

    assert "CAP_SYS_ADMIN" in more["CapabilityBoundingSet"].split()
    assert more["CapabilityBoundingSet"] == more["AmbientCapabilities"]


def test_example_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example file is read as an agent reads it, with what the unit adds."""
    for each in _parsed()["Service"]["Environment"].split():
        name, _, value = each.partition("=")
        if name.startswith("FSWIRE_AGENT_"):
            monkeypatch.setenv(name, value)
    settings = read(SYSTEMD / "agent.toml", host="h1")

    assert [root.project for root in settings.named_roots()] == ["etc-h1", "srv-h1"]
    assert settings.state_dir == Path("/var/lib") / _parsed()["Service"]["StateDirectory"]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv, to take all other capabilities away",
)
def test_agent_sees_everything_with_the_units_capabilities(tmp_path: Path) -> None:
    """As another user with the unit's capabilities alone, it reports and hashes what only root may read."""
    (tmp_path / "root" / "secret").mkdir(parents=True, mode=0o700)
    (tmp_path / "root" / "secret" / "f").write_bytes(b"x")
    (tmp_path / "root" / "secret" / "f").chmod(0o600)
    capabilities = [f"+{name.removeprefix('CAP_').lower()}" for name in _capabilities()]
    process = subprocess.Popen(
        [
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
            f"--inh-caps=-all,{','.join(capabilities)}",
            f"--ambient-caps=-all,{','.join(capabilities)}",
            f"--bounding-set=-all,{','.join(capabilities)}",
            *(sys.executable, "-P", "-m", "deploy.command", "agent", tmp_path / "root"),
            *("--project", "p", "--stdout"),
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TOP), "HOME": "/nonexistent"},
        cwd="/",
    )
    assert process.stdout is not None
    events = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert {(event["kind"], event["path"]) for event in events} == {
        ("baseline", "secret"),
        ("baseline", "secret/f"),
    }
    assert [event.get("hash_status") for event in events if event["path"] == "secret/f"] == ["ok"]


def _capabilities() -> list[str]:
    return _parsed()["Service"]["AmbientCapabilities"].split()


def test_example_of_the_connection_is_read() -> None:
    """The file that FSWIRE_CONFIG of the unit names has settings that there are."""
    found = settings_file.variables(SYSTEMD / "fswire.toml")
    fields = {name.removeprefix("FSWIRE_KAFKA_").lower(): value for name, value in found.items()}

    assert KafkaSettings(**fields).security_protocol == "SASL_SSL"  # type: ignore[arg-type]
    assert (
        f"FSWIRE_CONFIG=/etc/fswire/{(SYSTEMD / 'fswire.toml').name}" in _parsed()["Service"]["Environment"]
    )
