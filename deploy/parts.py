"""The parts of the local stack: how each is run, and with which settings.

Settings, secrets above all, go by environment; the commands are those of `fswire` itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.broker import STARTED, Broker, environment
from deploy.data_dir import AGENTS
from deploy.part import Spec
from deploy.watched import TRANSFERS_PROJECT, Watched

STOP_ORDER = ("transfers", "processors", "sink", "api", "store", "broker")
"""After the agents: each may still write to what stands right of it."""


@dataclass(frozen=True)
class Addresses:
    """Where the parts of a stack find each other."""

    data_dir: Path
    api_port: int
    tls_port: int | None
    """Of the api too, with TLS."""
    web_port: int
    """Of the Faust worker."""
    bootstrap_servers: str
    clickhouse: str
    """With user and password."""
    own_broker: bool
    """False: somebody else's, so that the person's `FSWIRE_KAFKA_…` settings hold."""

    @property
    def api(self) -> str:
        """Return the api's URL."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def tls_api(self) -> str | None:
        """Return the api's URL with TLS, None where it has none."""
        return None if self.tls_port is None else f"https://127.0.0.1:{self.tls_port}"

    def environment(self, **settings: object) -> dict[str, str]:
        """Return a part's environment: ours, where the others are, and the part's own settings."""
        inherited = os.environ.items()
        if self.own_broker:
            inherited = {k: v for k, v in inherited if not k.startswith("FSWIRE_KAFKA_")}.items()
        return {
            **dict(inherited),
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "FSWIRE_CLICKHOUSE_URL": self.clickhouse,
            **{name: str(value) for name, value in settings.items()},
        }


def broker(node: Broker, jars: list[Path]) -> Spec:
    """Return Kafka as a part; formats its log at the first start. Raises BrokerRefused."""
    return Spec(
        "broker",
        node.prepare(jars),
        environment(),
        node.directory,
        serves=lambda line: STARTED in line,
        grace_s=30,
    )


def store(at: Addresses, port: int, password: str) -> Spec:
    """Return the embedded ClickHouse engine as a part."""
    settings = {
        "FSWIRE_STORE_PORT": port,
        "FSWIRE_STORE_DATA_DIR": at.data_dir / "store",
        "FSWIRE_STORE_USER": "fswire",
        "FSWIRE_STORE_PASSWORD": password,
    }
    return _fswire("store", ["store"], at, settings, grace_s=20)


def processors(at: Addresses) -> Spec:
    """Return the Faust worker as a part."""
    settings = {
        "FSWIRE_PROCESSORS_WEB_PORT": at.web_port,
        "FSWIRE_PROCESSORS_DATA_DIR": at.data_dir / "processors",
    }
    return _fswire("processors", ["processors"], at, settings, grace_s=15)


def sink(at: Addresses) -> Spec:
    """Return the ClickHouse sink as a part."""
    return _fswire("sink", ["sink"], at, {}, grace_s=20)


def api(at: Addresses, session_secret: str) -> Spec:
    """Return the HTTP api as a part."""
    settings: dict[str, object] = {
        "FSWIRE_API_HOST": "127.0.0.1",
        "FSWIRE_API_PORT": at.api_port,
        "FSWIRE_API_SESSION_SECRET": session_secret,
        "FSWIRE_API_DATA_DIR": at.data_dir / "api",
    }
    if at.tls_port is not None:
        settings["FSWIRE_API_TLS_PORT"] = at.tls_port
    return _fswire("api", ["api"], at, settings, grace_s=15)


def transfers(at: Addresses) -> Spec:
    """Return the transfer worker as a part."""
    settings = {
        "FSWIRE_TRANSFERS_ROOT": os.environ.get("FSWIRE_TRANSFERS_ROOT", at.data_dir / "transfers"),
        "FSWIRE_TRANSFERS_PROJECT": transfers_project(),
    }
    return _fswire("transfers", ["transfers"], at, settings, grace_s=15)


def transfers_project() -> str:
    """Return the project that is told of fetched files."""
    return os.environ.get("FSWIRE_TRANSFERS_PROJECT", TRANSFERS_PROJECT)


def agent(at: Addresses, watched: Watched, kinds: str | None) -> Spec:
    """Return the agent of one directory as a part."""
    arguments = ["agent", str(watched.directory), "--project", watched.project]
    if kinds is not None:
        arguments += ["--kinds", kinds]
    settings = {
        "FSWIRE_AGENT_STATE_DIR": at.data_dir / AGENTS,
        "FSWIRE_AGENT_OWN_DIRS": json.dumps([str(at.data_dir)]),
    }
    return _fswire(f"agent-{watched.project}", arguments, at, settings, grace_s=15)


def _fswire(
    name: str, arguments: list[str], at: Addresses, settings: Mapping[str, object], grace_s: float
) -> Spec:
    # -P: the directory that it is run in may hold packages of our names.
    command = [sys.executable, "-P", "-m", "deploy.command", *arguments]
    return Spec(name, command, at.environment(**settings), at.data_dir, grace_s=grace_s)
