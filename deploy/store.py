"""`fswire store`: the embedded ClickHouse engine served on ClickHouse's HTTP port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from pathlib import Path
from typing import Self

import structlog
import uvicorn
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent import log
from deploy.store_app import StoreApp
from deploy.store_engine import DirectoryLocked, Engine

_GRACE_S = 5
"""For queries under way when the store is told to end."""


class StoreSettings(BaseSettings):
    """One store, read from `FSWIRE_STORE_…`."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_STORE_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Where to listen; another address than loopback needs a password."""
    port: int = Field(default=8123, ge=1, le=65535)
    data_dir: Path = Path("store")
    """Everything that is kept: tables, and bodies while they are read. One process at a time."""
    user: str = "fswire"
    password: SecretStr = SecretStr("")
    max_concurrent_queries: int = Field(default=32, ge=1)
    """More wait; after 10 s they are refused with code 202."""

    @model_validator(mode="after")
    def _open_only_to_this_machine(self) -> Self:
        if not self.password.get_secret_value() and not _is_loopback(self.host):
            raise ValueError(f"host {self.host} is reachable from outside: set FSWIRE_STORE_PASSWORD")
        return self


class _Server(uvicorn.Server):
    """Says when it serves; at the end lets queries finish, and stops those that do not."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            structlog.get_logger().info("started", host=self.config.host, port=self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stopping = asyncio.get_running_loop().call_later(_GRACE_S, self._engine.kill_all)
        await super().shutdown(sockets)
        stopping.cancel()


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    log.configure("store")
    settings = StoreSettings()
    try:
        engine = Engine(settings.data_dir)
    except DirectoryLocked as error:
        print(error, file=sys.stderr)
        return 1
    try:
        served = _serve(engine, settings)
    finally:
        engine.close()
    structlog.get_logger().info("stopped")
    return 0 if served else 1


def _serve(engine: Engine, settings: StoreSettings) -> bool:
    app = StoreApp(engine, settings.user, settings.password, settings.max_concurrent_queries)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2 * _GRACE_S,
        ),
        engine,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn ends on them and then raises them again, while the engine is still open
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(SystemExit):  # uvicorn's own, once it has logged that it cannot listen
        server.run()
    app.close()
    return server.started


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
