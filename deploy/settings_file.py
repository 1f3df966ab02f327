"""`fswire.toml`: settings in a file, one table a stage; an environment variable of the same setting wins.

    [kafka]
    bootstrap_servers = "broker-1:9092,broker-2:9092"

is `FSWIRE_KAFKA_BOOTSTRAP_SERVERS`. The tables are the prefixes of the settings: `kafka`, `clickhouse`,
`agent`, `processors`, `runner`, `transfers`, `sink`, `api`, `store`, `client`; what they may hold is in
`deploy.settings_keys`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.settings_keys import KEYS

NAME = "fswire.toml"


class SettingsRefused(Exception):
    """A settings file cannot be used; the message names the file and the key."""


def load(path: Path | None = None) -> None:
    """Put the settings of a file where the stages read theirs: into the environment, unless they are there.

    Without a path: `$FSWIRE_CONFIG`, or `fswire.toml` here if there is one. Raises SettingsRefused.
    """
    chosen = path or (Path(os.environ["FSWIRE_CONFIG"]) if "FSWIRE_CONFIG" in os.environ else None)
    if chosen is None and not Path(NAME).is_file():
        return
    for name, value in variables(chosen or Path(NAME)).items():
        os.environ.setdefault(name, value)


def variables(path: Path) -> dict[str, str]:
    """Return the settings of a file by the names of their environment variables. Raises SettingsRefused."""
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsRefused(f"{path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for table, settings in tables.items():
        if table not in KEYS or not isinstance(settings, Mapping):
            raise SettingsRefused(f"{path}: {table} is none of the tables {', '.join(KEYS)}")
        known = KEYS[table].split()
        for key in settings:
            if key.lower() not in known:
                raise SettingsRefused(f"{path}: {key} is no setting of [{table}]: {', '.join(known)}")
        found |= {f"FSWIRE_{table}_{key}".upper(): _text(value) for key, value in settings.items()}
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
