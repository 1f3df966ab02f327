"""Where the running system is that a command talks to.

In this order: `--data-dir` (its endpoint.json), `FSWIRE_…` variables, `fswire.toml`, the endpoint.json of the
default data directory, the settings' own defaults.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy import data_dir, endpoint, settings_file

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Data directory of a running `fswire up`; else settings (FSWIRE_…) hold."
    ),
]


class ClientSettings(BaseSettings):
    """How commands reach the api, read from `FSWIRE_CLIENT_…`."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_CLIENT_", frozen=True, extra="forbid")

    url: str = "http://127.0.0.1:8080"
    """The api."""
    key: SecretStr = SecretStr("")
    """`ID.SECRET`"""


def use(directory: Path | None) -> None:
    """Put where the system is into the environment, from which the settings of each stage are read.

    Raises DataDirRefused where nothing runs in `directory`, SettingsRefused for a bad settings file.
    """
    settings_file.load()
    if directory is not None:
        _export(endpoint.read(directory))
    elif not _is_told() and (data_dir.default() / endpoint.NAME).exists():
        _export(endpoint.read(data_dir.default()))


def use_quietly(directory: Path | None) -> None:
    """Do the same for a command that ends."""
    quiet_libraries()
    use(directory)


def quiet_libraries() -> None:
    """Keep the warnings of our libraries to themselves: an error of a command is one line, ours."""
    for library in ("aiokafka", "clickhouse_connect"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _is_told() -> bool:
    return any(name in os.environ for name in _LOCATIONS)


_LOCATIONS = ("FSWIRE_KAFKA_BOOTSTRAP_SERVERS", "FSWIRE_CLICKHOUSE_URL", "FSWIRE_CLIENT_URL")


def _export(at: endpoint.Endpoint) -> None:
    os.environ |= {
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": at.bootstrap_servers,
        "FSWIRE_CLICKHOUSE_URL": at.clickhouse,
        "FSWIRE_CLIENT_URL": at.api,
        "FSWIRE_CLIENT_KEY": at.admin_key,
    }
