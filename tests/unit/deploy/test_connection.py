"""Where commands find the running system, in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import connection, endpoint
from deploy.data_dir import DataDirRefused
from deploy.settings_file import SettingsRefused, variables

BOOTSTRAP = "FSWIRE_KAFKA_BOOTSTRAP_SERVERS"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, no file, and a default data directory of the test's own."""
    for name in [name for name in os.environ if name.startswith("FSWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ["FSWIRE_DATA_DIR"] = str(tmp_path / "default")
    monkeypatch.chdir(tmp_path)


def running(directory: Path, port: int) -> Path:
    directory.mkdir()
    at = endpoint.Endpoint(
        api=f"http://127.0.0.1:{port}",
        tls_api=None,
        bootstrap_servers=f"127.0.0.1:{port + 1}",
        clickhouse=f"http://fswire:secret@127.0.0.1:{port + 2}",
        admin_key="key.secret",
    )
    endpoint.write(directory, at)
    return directory


def test_data_dir_wins_over_settings(tmp_path: Path) -> None:
    """`--data-dir` is the last word."""
    os.environ[BOOTSTRAP] = "broker:9092"

    connection.use(running(tmp_path / "data", 5000))

    assert os.environ[BOOTSTRAP] == "127.0.0.1:5001"
    assert os.environ["FSWIRE_CLIENT_KEY"] == "key.secret"


def test_settings_win_over_the_file_and_the_default(tmp_path: Path) -> None:
    """A variable holds where no data directory is given."""
    running(tmp_path / "default", 5000)
    (tmp_path / "fswire.toml").write_text('[kafka]\nbootstrap_servers = "file:9092"')
    os.environ[BOOTSTRAP] = "broker:9092"

    connection.use(None)

    assert os.environ[BOOTSTRAP] == "broker:9092"


def test_file_wins_over_the_default(tmp_path: Path) -> None:
    """A settings file holds where no variable is set."""
    running(tmp_path / "default", 5000)
    (tmp_path / "fswire.toml").write_text('[kafka]\nbootstrap_servers = "file:9092"')

    connection.use(None)

    assert os.environ[BOOTSTRAP] == "file:9092"


def test_default_data_dir_holds_where_nothing_is_said(tmp_path: Path) -> None:
    """The one stack of this machine needs no option."""
    running(tmp_path / "default", 5000)

    connection.use(None)

    assert os.environ[BOOTSTRAP] == "127.0.0.1:5001"


def test_data_dir_without_a_stack_is_refused(tmp_path: Path) -> None:
    """A data directory where nothing runs is named."""
    with pytest.raises(DataDirRefused, match="no running system"):
        connection.use(tmp_path)


def test_file_is_the_variables_of_its_tables(tmp_path: Path) -> None:
    """Every table is a prefix; what is no text is JSON, as the settings read it."""
    file = tmp_path / "any.toml"
    file.write_text('[sink]\nmax_rows = 5\n[agent]\nexclude = ["/a b"]\n[kafka]\nsasl_username = "me"')

    assert variables(file) == {
        "FSWIRE_SINK_MAX_ROWS": "5",
        "FSWIRE_AGENT_EXCLUDE": '["/a b"]',
        "FSWIRE_KAFKA_SASL_USERNAME": "me",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[sinc]\nmax_rows = 5", "sinc is none of the tables"),
        ("sink = 5", "sink is none of the tables"),
        ("[sink", "cannot be read"),
        ("[sink]\nmax_row = 5", r"max_row is no setting of \[sink\]: flush_ms, group"),
    ],
)
def test_file_that_says_something_else_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    """A table or a setting that nobody reads is a mistake, and is named."""
    file = tmp_path / "any.toml"
    file.write_text(content)

    with pytest.raises(SettingsRefused, match=reason):
        variables(file)
