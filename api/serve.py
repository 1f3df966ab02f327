"""The api as a process: `fswire api`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from agent import log
from agent.kafka import KafkaSettings
from api.app import create_app
from api.certificate import CertificateRefused
from api.certificate import context as tls_context
from api.patience import protocol
from api.settings import ApiSettings
from processors.clickhouse import ClickHouseSettings
from processors.garbage import collect_seldom

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Serves one application on a plain socket and, where there is one, on a second with TLS."""

    def __init__(self, config: uvicorn.Config, secured: tuple[socket.socket, ssl.SSLContext] | None) -> None:
        super().__init__(config)
        self._secured = secured

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            _log.info("started", url=_url("http", listening))
        if self._secured is not None:
            listening, context = self._secured
            server = await asyncio.get_running_loop().create_server(
                self._connection, sock=listening, ssl=context, backlog=self.config.backlog
            )
            self.servers.append(server)
            _log.info("started", url=_url("https", listening))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams have no end of their own: they get it before the wait for what is under way.
        self.config.app.state.hub.end()  # type: ignore[union-attr]
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def main(tls_port: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return 0 after a clean stop, 1 where settings or address are wrong."""
    log.configure("api")
    collect_seldom()
    # It reports every lost connection several times over; what matters of it is said once, by the api.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        given: dict[str, Any] = {} if tls_port is None else {"tls_port": tls_port}
        settings, kafka, clickhouse = ApiSettings(**given), KafkaSettings(), ClickHouseSettings()
        kafka.check()
        context = _context(settings)
        listening = _listen(settings.host, settings.port)
        secured = None if context is None else (_listen(settings.host, settings.tls_port or 0), context)
    except CertificateRefused as error:
        return _give_up(f"TLS cannot be had: {error}")
    except ValidationError as error:
        return _give_up(wrong_settings(error))
    except OSError as error:
        return _give_up(taken_address(settings, error))
    app = create_app(settings, kafka, clickhouse)
    with listening:
        _serve(app, listening, secured, settings)
    _log.info("stopped")
    return 0


def _serve(
    app: FastAPI,
    listening: socket.socket,
    secured: tuple[socket.socket, ssl.SSLContext] | None,
    settings: ApiSettings,
) -> None:
    # After a clean stop uvicorn raises the signal again: by then there is nothing left to do.
    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, lambda *_: None)
    _Server(configuration(app, settings), secured).run(sockets=[listening])


def configuration(app: ASGIApp, settings: ApiSettings) -> uvicorn.Config:
    """Return how an application is served; what trusted proxies say of a client counts for all of it."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol(settings),
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )


def _give_up(message: str) -> int:
    sys.stderr.write(f"fswire api: {message}\n")
    return 1


def wrong_settings(error: ValidationError) -> str:
    """Say which settings are wrong and why; never their values, for one of them is a password."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    models = (ApiSettings, KafkaSettings, ClickHouseSettings)
    prefix = next(model.model_config["env_prefix"] for model in models if model.__name__ == error.title)
    keys = ("_".join(str(part) for part in fault["loc"]) for fault in faults)
    return "; ".join(
        f"{prefix}{key}".upper() + ": " + fault["msg"] for key, fault in zip(keys, faults, strict=True)
    )


def taken_address(settings: ApiSettings, error: OSError) -> str:
    """Say which address cannot be had, why, and what to do."""
    return (
        f"cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
        "Stop what uses it, or choose another with FSWIRE_API_PORT (0 takes a free one)."
    )


def _context(settings: ApiSettings) -> ssl.SSLContext | None:
    if settings.tls_port is None:
        return None
    default = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fswire" / "api"
    return tls_context(settings.tls_certfile, settings.tls_keyfile, settings.data_dir or default)


def _url(scheme: str, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
