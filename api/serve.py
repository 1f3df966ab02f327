"""The api as a process: `fswire api`."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import structlog
import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from agent import log
from agent.kafka import KafkaSettings
from api.app import create_app
from api.settings import ApiSettings
from processors.clickhouse import ClickHouseSettings, connect_async

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            _log.info("started", url=f"http://{host}:{port}")


def main() -> int:
    """Serve until SIGTERM or SIGINT; return 0 after a clean stop, 1 where settings or address are wrong."""
    log.configure("api")
    # It reports every lost connection several times over; what matters of it is said once, by the api.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        settings, kafka, clickhouse = ApiSettings(), KafkaSettings(), ClickHouseSettings()
        listening = _listen(settings.host, settings.port)
    except ValidationError as error:
        return _give_up(wrong_settings(error))
    except OSError as error:
        return _give_up(taken_address(settings, error))
    app = create_app(settings, kafka, lambda: connect_async(clickhouse), clickhouse.place)
    with listening:
        _serve(app, listening, settings.shutdown_grace_s)
    _log.info("stopped")
    return 0


def _serve(app: ASGIApp, listening: socket.socket, grace_s: int) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
    )
    # After a clean stop uvicorn raises the signal again: by then there is nothing left to do.
    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, lambda *_: None)
    _Server(config).run(sockets=[listening])


def _give_up(message: str) -> int:
    sys.stderr.write(f"fswire api: {message}\n")
    return 1


def wrong_settings(error: ValidationError) -> str:
    """Say which settings are wrong and why; never their values, for one of them is a password."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    named = ("_".join(str(part) for part in fault["loc"]) + ": " + fault["msg"] for fault in faults)
    return f"{error.title}: " + "; ".join(named)


def taken_address(settings: ApiSettings, error: OSError) -> str:
    """Say which address cannot be had, why, and what to do."""
    return (
        f"cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
        "Stop what uses it, or choose another with FSWIRE_API_PORT (0 takes a free one)."
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
