"""Runs an agent until SIGTERM or SIGINT: per root a watching thread and a publishing task (`agent.line`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from pathlib import Path

import structlog

from agent import log, stdout
from agent.files import State, look
from agent.kafka import KafkaSettings
from agent.line import Line
from agent.lock import Locked
from agent.log import Throughput
from agent.publish import Connection, Send
from agent.settings import AgentSettings, RootSettings

_log = structlog.get_logger()


class AgentRefused(Exception):
    """The agent cannot start; the message says what to change."""


def main(settings: AgentSettings, kafka: KafkaSettings) -> int:
    """Watch and publish until a signal says stop; returns the process's exit status.

    1, with a message on standard error: a root is no directory, another agent has the journal, or a defect.
    """
    log.configure("agent")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it repeats what `broker_unavailable` says once
    try:
        with contextlib.ExitStack() as stack:
            if settings.stdout:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="fswire-"))
                settings = settings.model_copy(update={"state_dir": Path(directory)})
            return asyncio.run(_Agent(settings, kafka).run(stack))
    except (AgentRefused, Locked) as error:
        sys.stderr.write(f"fswire agent: {error}\n")
        return 1


class _Agent:
    def __init__(self, settings: AgentSettings, kafka: KafkaSettings) -> None:
        self._settings = settings
        self._kafka = kafka
        self._connection = Connection(kafka)
        self._throughput = Throughput("agent")
        self._lines: list[Line] = []
        self._publishing: list[asyncio.Task[None]] = []

    async def run(self, stack: contextlib.ExitStack) -> int:
        stop = _stop_on_signals()
        roots = [(root, _state_of(root)) for root in self._settings.named_roots()]
        self._lines = [stack.enter_context(self._line(root, state)) for root, state in roots]
        self._publishing = [asyncio.create_task(line.publisher.run()) for line in self._lines]
        for line in self._lines:
            line.watching.start()
        announcing = asyncio.create_task(self._announce())
        await self._until_over(stop)
        announcing.cancel()
        await self._stop()
        return self._verdict()

    def _line(self, root: RootSettings, state: State) -> Line:
        backend, _ = _backend(self._settings)
        throughput = None if self._settings.stdout else self._throughput
        return Line(self._settings, root, state, backend, self._sender(root), throughput, where=self._where())

    def _sender(self, root: RootSettings) -> Send:
        if self._settings.stdout:
            return stdout.send

        async def send(value: bytes) -> None:
            await self._connection.send(root.project, value)

        return send

    def _where(self) -> str:
        return "standard output" if self._settings.stdout else self._kafka.bootstrap_servers

    async def _announce(self) -> None:
        """Log once that everything is watched."""
        for line in self._lines:
            await line.watched.wait()
        backend, why = _backend(self._settings)
        _log.info(
            "started",
            roots=len(self._lines),
            watches=sum(line.watches for line in self._lines),
            backend=backend,
            why=why,
        )

    async def _until_over(self, stop: asyncio.Event) -> None:
        """Wait for a signal, or for the end of anything that should not end."""
        waiting = [
            asyncio.create_task(event.wait()) for event in (stop, *(line.ended for line in self._lines))
        ]
        await asyncio.wait([*waiting, *self._publishing], return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _stop(self) -> None:
        """Take in what has happened, publish it for as long as the grace lasts, and keep the rest."""
        for line in self._lines:
            line.stop_watching()
        for line in self._lines:
            await line.ended.wait()
            line.publisher.drain()
        _, late = await asyncio.wait(self._publishing, timeout=self._settings.grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._publishing, return_exceptions=True)
        await self._connection.close()
        for line in self._lines:
            line.finish()

    def _verdict(self) -> int:
        failures = [line.watching.failure for line in self._lines]
        failures += [task.exception() for task in self._publishing if not task.cancelled()]
        for failure in failures:
            if isinstance(failure, BrokenPipeError):
                return 0
            if failure is not None:
                _log.error("failed", exc_info=failure)
                return 1
        _log.info("stopped", unpublished=sum(line.unpublished() for line in self._lines))
        return 0


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)
    return stop


def _state_of(root: RootSettings) -> State:
    try:
        state = look(bytes(root.dir))
    except OSError as error:
        raise AgentRefused(f"{root.dir}: {error.strerror}") from error
    if state is None:
        raise AgentRefused(f"{root.dir}: there is no such directory")
    if not state.is_dir:
        raise AgentRefused(f"{root.dir}: not a directory")
    return state


def _backend(settings: AgentSettings) -> tuple[str, str]:
    if settings.backend != "auto":
        return settings.backend, "asked for"
    if sys.platform == "linux":
        return "inotify", "this is Linux"
    return "watchfiles", f"there is no inotify on {sys.platform}"
