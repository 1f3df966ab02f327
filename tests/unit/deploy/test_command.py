"""The command line as a process: one clear line on standard error for each thing that is wrong."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.kafka import KafkaSettings
from deploy import command
from deploy.command_registry import ArgumentRefused, duration_ns
from deploy.explain import explain


class Fswire:
    """The command, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
        """Return exit status, standard output and standard error."""
        os.environ.update(settings)
        self._monkeypatch.setattr(sys, "argv", ["fswire", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            command.main()
        output = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output.out, output.err


@pytest.fixture
def fswire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fswire:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FSWIRE_")}
    monkeypatch.setattr(os, "environ", inherited | {"FSWIRE_DATA_DIR": str(tmp_path / "none")})
    monkeypatch.chdir(tmp_path)
    return Fswire(monkeypatch, capsys)


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return where nobody answers: a port that is held, so that no other process comes to listen on it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


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
def test_broker_that_is_not_there_is_named(fswire: Fswire, nobody: str, arguments: list[str]) -> None:
    """The message says which server, where, and what to check."""
    status, out, err = fswire(*arguments, FSWIRE_KAFKA_BOOTSTRAP_SERVERS=nobody)

    assert (status, out) == (1, "")
    assert err.startswith(f"fswire: the Kafka broker at {nobody} does not answer (check that")
    assert len(err.splitlines()) == 1


def test_database_that_is_not_there_is_named(fswire: Fswire, nobody: str) -> None:
    """The message says which server and where, and never the password."""
    status, _, err = fswire("schema", "apply", FSWIRE_CLICKHOUSE_URL=f"http://fswire:secret@{nobody}/default")

    assert status == 1
    assert nobody in err
    assert "secret" not in err
    assert len(err.splitlines()) == 1


def test_api_that_is_not_there_is_named(fswire: Fswire, nobody: str) -> None:
    """The message says where no api answers."""
    where = f"http://{nobody}"

    status, _, err = fswire("sql", "SELECT 1", FSWIRE_CLIENT_URL=where)

    assert status == 1
    assert err.startswith(f"fswire: the api at {where} does not answer")


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
    fswire: Fswire, arguments: list[str], stdin: str, reason: str
) -> None:
    """What is wrong is said before anybody is asked."""
    status, out, err = fswire(*arguments, stdin=stdin)

    assert (status, out) == (1, "")
    assert err.startswith("fswire: ")
    assert reason in err
    assert "sesame" not in err


def test_setting_that_cannot_be_used_is_named_with_its_value() -> None:
    """A bad setting is named with what came."""
    with pytest.raises(ValidationError) as refused:
        KafkaSettings.model_validate({"security_protocol": "NONE"})

    assert explain(refused.value).startswith("KafkaSettings: security_protocol: ")
    assert explain(refused.value).endswith("(came: 'NONE')")


def test_setting_that_holds_a_secret_is_named_without_it() -> None:
    """What may be a secret is never shown."""
    with pytest.raises(ValidationError) as refused:
        KafkaSettings.model_validate({"sasl_password": ["sesame"]})

    assert "sasl_password" in explain(refused.value)
    assert "sesame" not in explain(refused.value)


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
