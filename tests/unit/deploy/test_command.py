"""The command line as a process: one clear line on standard error for each thing that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import ports
from deploy.command_registry import ArgumentRefused, duration_ns


def fswire(
    tmp_path: Path, *arguments: str, stdin: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FSWIRE_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", *arguments],
        env={**inherited, "FSWIRE_DATA_DIR": str(tmp_path / "none"), **settings},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def nobody() -> str:
    return f"127.0.0.1:{ports.pick(set())}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["project", "list"],
        ["project", "create", "p"],
        ["key", "list"],
        ["key", "create", "--project", "p", "--scope", "admin"],
        ["topics", "apply"],
    ],
    ids=" ".join,
)
def test_broker_that_is_not_there_is_named(tmp_path: Path, arguments: list[str]) -> None:
    """The message says which server, where, and what to check."""
    where = nobody()

    done = fswire(tmp_path, *arguments, FSWIRE_KAFKA_BOOTSTRAP_SERVERS=where)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"fswire: the Kafka broker at {where} does not answer (check that")
    assert len(done.stderr.splitlines()) == 1


def test_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message says which server and where, and never the password."""
    where = nobody()

    done = fswire(tmp_path, "schema", "apply", FSWIRE_CLICKHOUSE_URL=f"http://fswire:secret@{where}/default")

    assert done.returncode == 1
    assert where in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_api_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message says where no api answers."""
    where = f"http://{nobody()}"

    done = fswire(tmp_path, "sql", "SELECT 1", FSWIRE_CLIENT_URL=where)

    assert done.returncode == 1
    assert done.stderr.startswith(f"fswire: the api at {where} does not answer")


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (["project", "create", "no name"], "", "'no name' is no project id"),
        (["project", "create", "p", "--ingress-token", "-"], "", "standard input held no token"),
        (["project", "create", "p", "--ingress-token", "sesame"], "", "read from standard input"),
        (["project", "allow", "a b"], "", "'a b' is no pattern"),
        (["key", "create", "--project", "p", "--scope", "all"], "", "unknown scope 'all'"),
        (["key", "create", "--project", "p q", "--scope", "admin"], "", "'p q' is no project id"),
        (["key", "create", "--project", "p", "--scope", "admin", "--expires-in", "9"], "", "is no duration"),
        (["sql", "SELECT 1", "--data-dir", "/nowhere"], "", "no running system in /nowhere"),
    ],
)
def test_argument_that_cannot_be_meant_is_named(
    tmp_path: Path, arguments: list[str], stdin: str, reason: str
) -> None:
    """What is wrong is said before anybody is asked."""
    done = fswire(tmp_path, *arguments, stdin=stdin)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fswire: ")
    assert reason in done.stderr
    assert "sesame" not in done.stderr


def test_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A bad variable is named with its value."""
    done = fswire(tmp_path, "api", FSWIRE_API_PORT="many")

    assert done.returncode == 1
    assert "many" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 7776000), ("12h", 43200), ("30m", 1800), ("1w", 604800)]
)
def test_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    """Days, hours, minutes, weeks and seconds."""
    assert duration_ns(text) == seconds * 10**9


@pytest.mark.parametrize("text", ["", "d", "5", "-1d", "1y", "1.5h", "1d1h"])
def test_duration_of_another_form_is_refused(text: str) -> None:
    """Anything else is refused rather than guessed."""
    with pytest.raises(ArgumentRefused):
        duration_ns(text)
