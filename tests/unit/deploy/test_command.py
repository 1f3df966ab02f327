"""The command line as a process: one clear line on standard error for each thing that is wrong."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from agent.kafka import KafkaSettings
from deploy import command
from deploy.command_registry import ArgumentRefused, _moment, duration_ns
from deploy.explain import explain
from deploy.store import StoreSettings
from processors.runner import RunnerSettings


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
        ["dead-letters", "list"],
        ["tail"],
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
        (["key", "expire", "key_1", "--in", "999999w"], "", "'999999w' is too long"),
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

    assert explain(refused.value).startswith("FSWIRE_KAFKA_SECURITY_PROTOCOL: ")
    assert explain(refused.value).endswith("(came: 'NONE')")


def test_setting_that_holds_a_secret_is_named_without_it() -> None:
    """What may be a secret is never shown."""
    with pytest.raises(ValidationError) as refused:
        KafkaSettings.model_validate({"sasl_password": ["sesame"]})

    assert "FSWIRE_KAFKA_SASL_PASSWORD" in explain(refused.value)
    assert "sesame" not in explain(refused.value)


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("store", "FSWIRE_STORE_PORT", "99999"),
        ("processors", "FSWIRE_PROCESSORS_LOG_LEVEL", "LOUD"),
        ("transfers", "FSWIRE_TRANSFERS_LOG_LEVEL", "LOUD"),
        ("processors", "FSWIRE_KAFKA_BOOTSTRAP_SERVERS", "broker:port"),
    ],
)
def test_variable_that_cannot_be_used_is_named(
    fswire: Fswire, command: str, variable: str, value: str
) -> None:
    """The one line has the name of the variable, and what came."""
    status, out, err = fswire(command, **{variable: value})

    assert (status, out) == (1, "")
    assert err.startswith(f"fswire: {variable}: ")
    assert err.endswith(f"(came: {value!r})\n")
    assert len(err.splitlines()) == 1


def test_variable_that_is_to_be_a_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no JSON is refused with the variable's name, and with what a list looks like."""
    monkeypatch.setenv("FSWIRE_RUNNER_COMMANDS", "ls")

    with pytest.raises(SettingsError) as refused:
        RunnerSettings()

    assert explain(refused.value).startswith("FSWIRE_RUNNER_COMMANDS: a list is wanted as JSON")


def test_settings_that_do_not_fit_together_show_no_values() -> None:
    """What is wrong with several settings shows none of them: one may be a secret."""
    with pytest.raises(ValidationError) as refused:
        StoreSettings.model_validate({"host": "0.0.0.0", "user": "sesame"})

    assert explain(refused.value).startswith("FSWIRE_STORE: host 0.0.0.0 is reachable from outside")
    assert "sesame" not in explain(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [["project", "list"], ["sink"], ["api"], ["agent", ".", "--project", "p"]],
    ids=lambda arguments: arguments[0],
)
def test_login_without_a_password_is_named(tmp_path: Path, arguments: list[str]) -> None:
    """A broker that wants a name and a password is not asked without them; nothing begins to run.

    In processes of their own: a stage makes the one that it is called in its own.
    """
    settings = {
        "FSWIRE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "FSWIRE_CLICKHOUSE_URL": "http://127.0.0.1:1",
        "FSWIRE_DATA_DIR": str(tmp_path / "none"),
    }

    done = subprocess.run(
        [sys.executable, "-P", "-m", "deploy.command", *arguments],
        cwd=tmp_path,
        env=os.environ | settings,
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "fswire: SASL_SSL needs FSWIRE_KAFKA_SASL_USERNAME and FSWIRE_KAFKA_SASL_PASSWORD"
    )


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--kinds", "bogus", "kinds.0 = 'bogus'"),
        ("--bootstrap-servers", "", "FSWIRE_KAFKA_BOOTSTRAP_SERVERS: host:port is wanted"),
        ("--clickhouse", "", "FSWIRE_CLICKHOUSE_URL: expected http"),
    ],
)
def test_up_refuses_an_option_that_no_part_could_use(
    fswire: Fswire, tmp_path: Path, option: str, value: str, reason: str
) -> None:
    """It is said before a part is started, and not by one that ends again and again."""
    watched = tmp_path / "watched"
    watched.mkdir()

    status, out, err = fswire("up", str(watched), "--data-dir", str(tmp_path / "data"), option, value)

    assert (status, out) == (1, "")
    assert err.startswith(f"fswire: {reason}")
    assert not (tmp_path / "data" / "logs").exists()


def test_interrupt_while_modules_are_read_shows_no_trace(tmp_path: Path) -> None:
    """Ctrl-C before there is anything to stop ends the process by its signal, silently."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    run = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    run += "from deploy import main\nmain.main()"

    done = subprocess.run(
        [sys.executable, "-c", run, "sql"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_moment_beyond_all_dates_is_shown_as_the_last_one() -> None:
    """A key that an earlier version let end too late does not keep the others from being listed."""
    assert _moment(10**21) == "9999-12-31T23:59:59Z"


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
