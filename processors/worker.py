"""The Faust worker of `fswire processors`: lifecycle, web port, agents; what owns partitions is a service."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import faust
import structlog
import uvloop
from faust.web import Request, Response, View
from mode import Service
from prometheus_client import generate_latest

from agent import log
from agent.kafka import KafkaSettings
from processors import broker, topics
from processors.fleet import Fleet
from processors.garbage import collect_seldom
from processors.normalize import TOPICS, Normalize
from processors.runner import Runner, RunnerSettings
from processors.settings import ProcessorsSettings
from processors.transfer_sequencer import TOPICS as TRANSFER_TOPICS
from processors.transfer_sequencer import Sequencer

APP = "fswire-processors"
_STOP_TIMEOUT_S = 5.0
"""For normalize, then for Faust: a supervisor that waits 15 s sees a clean end."""


def main() -> int:
    """Run the worker until SIGTERM or SIGINT; return its exit status."""
    settings, kafka = ProcessorsSettings(), KafkaSettings()
    log.configure("processors", level=settings.log_level)
    _quieten()
    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(kafka, settings))


def _quieten() -> None:
    """Silence the libraries: that the broker is away they say every second, `processors.broker` once."""
    for name in ("aiokafka", "faust", "mode", "aiohttp"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Worker(faust.Worker):  # type: ignore[misc]
    """A worker that leaves signals to `_run`, which has to see its stop through to the end."""

    def install_signal_handlers(self) -> None:
        """Install none."""


async def _run(kafka: KafkaSettings, settings: ProcessorsSettings) -> int:
    logger = structlog.get_logger()
    signalled = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, signalled.set)
    names = [kafka.topic(name) for name in {*TOPICS, *TRANSFER_TOPICS}]
    if not await _before(signalled, broker.await_topics(kafka, names)):
        logger.info("stopped")
        return 0
    gc.freeze()
    normalize = Normalize(kafka, settings)
    runner = Runner(kafka, settings, RunnerSettings())
    sequencer = Sequencer(kafka, settings)
    worker = _make_worker(kafka, settings, normalize, runner, sequencer)
    if await _before(signalled, worker.start()):
        await _before(signalled, worker.wait_until_stopped())
    crash = worker.crash_reason
    in_time = True
    for service in (normalize, runner, sequencer, worker):
        in_time = in_time and await _stopped(service)
    if crash is not None:
        logger.error("crashed", exc_info=crash)
    else:
        logger.info("stopped")
    if crash is not None or not in_time:
        # Faust waits a minute for a broker that is away, and what a crash left half begun may wait for ever;
        # all that counts is acknowledged or made again
        sys.stderr.flush()
        os._exit(crash is not None)
    return int(crash is not None)


async def _stopped(service: Service) -> bool:
    """Stop a service; return whether that ended in time."""
    stopping = asyncio.ensure_future(service.stop())
    await asyncio.wait((stopping,), timeout=_STOP_TIMEOUT_S)
    return bool(stopping.done())


async def _before(signalled: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Run until it is done; cancel it where the signal comes first, and return False."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(signalled.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    await asyncio.wait((working,))
    return False


def _make_worker(kafka: KafkaSettings, settings: ProcessorsSettings, *services: Service) -> Worker:
    worker = Worker(
        make_app(kafka, settings),
        *services,
        loop=asyncio.get_running_loop(),
        daemon=False,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.spinner = None
    return worker


def make_app(kafka: KafkaSettings, settings: ProcessorsSettings) -> faust.App:
    """Return the application: its agents and pages, on this broker."""
    seconds = settings.session_timeout_ms / 1000
    app = faust.App(
        APP,
        broker=[f"aiokafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=seconds,
        broker_rebalance_timeout=seconds,
        broker_heartbeat_interval=settings.heartbeat_interval_ms / 1000,
        datadir=settings.data_dir,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        autodiscover=False,
    )
    _add_agents(app, kafka, Fleet(kafka, topics.AGENTS, settings.agent_days))
    app.page("/metrics")(_metrics)
    return app


def _add_agents(app: faust.App, kafka: KafkaSettings, fleet: Fleet) -> None:
    agents = app.topic(
        kafka.topic(topics.AGENTS), key_serializer="raw", value_serializer="raw", allow_empty=True
    )

    @app.agent(agents, name="heartbeats", concurrency=1)  # type: ignore[untyped-decorator]
    async def heartbeats(stream: faust.StreamT[bytes | None]) -> None:
        async for event in stream.events():
            fleet.note(event.key, event.value, event.message.timestamp)

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def taken_over(_app: faust.App, assigned: set[Any], **_: object) -> None:
        fleet.take_over(assigned)


async def _metrics(view: View, _request: Request) -> Response:
    return view.bytes(generate_latest(), content_type="text/plain")


def _credentials(kafka: KafkaSettings) -> Any:
    arguments = kafka.client()
    if "sasl_mechanism" in arguments:
        return faust.SASLCredentials(
            username=arguments["sasl_plain_username"],
            password=arguments["sasl_plain_password"],
            ssl_context=arguments.get("ssl_context"),
            mechanism=arguments["sasl_mechanism"],
        )
    return faust.SSLCredentials(arguments["ssl_context"]) if "ssl_context" in arguments else None
