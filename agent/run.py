"""Runs an agent until SIGTERM or SIGINT: per root a watching thread and a publishing task (`agent.line`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from agent import log, registered, stdout
from agent.backends import BackendRefused, choose, why_nobody
from agent.control import on_signals, requested
from agent.files import State, look
from agent.hash_rate import HashRate
from agent.health import Health, health
from agent.journal import JournalRefused
from agent.kafka import KafkaSettings
from agent.line import Line
from agent.lock import Locked
from agent.log import Throughput
from agent.publish import Connection, Send
from agent.reload import plan
from agent.serving import ListenRefused, serving
from agent.settings import AgentSettings, RootSettings, SettingsRefused

_log = structlog.get_logger()


class AgentRefused(Exception):
    """The agent cannot start; the message says what to change."""


def main(
    settings: AgentSettings, kafka: KafkaSettings, reread: Callable[[], AgentSettings] | None = None
) -> int:
    """Watch and publish until a signal says stop; returns the process's exit status.

    `reread` gives the settings as they are by now, for SIGHUP. 1, with a message on standard error: a root is
    no directory, another agent has the journal, or a defect.
    """
    log.configure("agent")
    try:
        with contextlib.ExitStack() as stack:
            if settings.stdout:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="fswire-"))
                settings = settings.model_copy(update={"state_dir": Path(directory)})
            return asyncio.run(_Agent(settings, kafka, reread or (lambda: settings)).run(stack))
    except (*_REFUSALS, ListenRefused) as error:
        sys.stderr.write(f"fswire agent: {error}\n")
        return 1


_REFUSALS = (AgentRefused, BackendRefused, JournalRefused, Locked, SettingsRefused)


class _Agent:
    def __init__(
        self, settings: AgentSettings, kafka: KafkaSettings, reread: Callable[[], AgentSettings]
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._kafka = kafka
        self._connection = Connection(kafka)
        self._throughput = Throughput("agent")
        self._hash_rate = HashRate()
        self._lines: dict[Line, contextlib.ExitStack] = {}
        self._over = asyncio.Event()
        """A signal says stop, or something has ended that should not."""
        self._hung_up = asyncio.Event()

    async def run(self, stack: contextlib.ExitStack) -> int:
        listen = self._settings.listen
        async with serving(listen, self._health) if listen else contextlib.nullcontext():
            return await self._run(stack)

    async def _run(self, stack: contextlib.ExitStack) -> int:
        stop, rescan, reload = self._over.set, self._rescan, self._hung_up.set
        on_signals({"SIGTERM": stop, "SIGINT": stop, "SIGUSR1": rescan, "SIGHUP": reload})
        roots = [(root, _state_of(root)) for root in self._settings.named_roots()]
        stack.callback(self._close)
        for root, state in roots:
            self._open(self._line(root, state))
        for line in self._lines:
            line.start(self._over.set)
        beside = [asyncio.create_task(each()) for each in (self._announce, self._warn, self._reload_for_ever)]
        await self._over.wait()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await asyncio.gather(*(line.stop(self._settings.grace_s) for line in self._lines))
        await self._connection.close()
        return self._verdict()

    def _open(self, line: Line) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(line)
            self._lines[line] = stack.pop_all()

    def _close(self) -> None:
        for stack in self._lines.values():
            stack.close()

    def _rescan(self) -> None:
        projects = [line.root.project for line in self._lines]
        wanted = requested(self._settings.state_dir, projects)
        _log.info("rescan_asked", projects=wanted)
        for line in self._lines:
            if line.root.project in wanted:
                line.ask_rescan("asked")

    async def _reload_for_ever(self) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            try:
                await self._reload(self._read_again())
            except _REFUSALS as error:
                _log.error("reload_refused", error=str(error), going_on="with the settings before")

    def _read_again(self) -> AgentSettings:
        settings = self._reread()
        kept = {"state_dir": self._settings.state_dir} if self._settings.stdout else {}
        return settings.model_copy(update=kept)

    async def _reload(self, settings: AgentSettings) -> None:
        """Go on with other settings; what can be refused is refused before anything is changed."""
        todo = plan(self._settings, settings)
        beginning = [self._line(root, _state_of(root)) for root in todo.beginning]
        if todo.unchanged:
            _log.warning("restart_needed", settings=todo.unchanged, going_on="with the values before")
        self._settings = todo.settings
        lines = {line.root.project: line for line in self._lines}
        await asyncio.gather(*(self._end(lines[root.project]) for root in todo.ending))
        for root in todo.going_on:
            lines[root.project].change(todo.settings, root)
        for line in beginning:
            self._begin(line)
        _log.info(
            "reloaded",
            beginning=[root.project for root in todo.beginning],
            ending=[root.project for root in todo.ending],
            going_on=[root.project for root in todo.going_on],
        )

    async def _end(self, line: Line) -> None:
        await line.stop(self._settings.grace_s)
        self._lines.pop(line).close()

    def _begin(self, line: Line) -> None:
        try:
            self._open(line)
        except _REFUSALS as error:
            _log.error("root_refused", project=line.root.project, error=str(error))
        else:
            line.start(self._over.set)

    def _line(self, root: RootSettings, state: State) -> Line:
        backend = _backend(self._settings, root)
        throughput = None if self._settings.stdout else self._throughput
        return Line(
            self._settings,
            root,
            state,
            backend,
            self._sender(root),
            throughput,
            where=self._where(),
            hash_rate=self._hash_rate,
        )

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
        _log.info(
            "started",
            roots=len(self._lines),
            watches=sum(line.watches for line in self._lines),
            backend=",".join(sorted({line.backend for line in self._lines})),
        )

    async def _warn(self) -> None:
        """Log once which projects the registry does not know."""
        if not self._settings.stdout:
            await registered.warn(self._kafka, [root.project for root in self._settings.named_roots()])

    def _health(self) -> Health:
        return health([line.health() for line in self._lines])

    def _verdict(self) -> int:
        for failure in [line.failure() for line in self._lines]:
            if isinstance(failure, BrokenPipeError):
                return 0
            if failure is not None:
                _log.error("failed", exc_info=failure)
                return 1
        _log.info("stopped", unpublished=sum(line.unpublished() for line in self._lines))
        return 0


def _state_of(root: RootSettings) -> State:
    try:
        state = look(bytes(root.dir))
    except OSError as error:
        raise AgentRefused(f"dir = '{root.dir}': {error.strerror}") from error
    if state is None:
        raise AgentRefused(f"dir = '{root.dir}': there is no such directory")
    if not state.is_dir:
        raise AgentRefused(f"dir = '{root.dir}': not a directory")
    effective = os.access in os.supports_effective_ids
    if not os.access(root.dir, os.R_OK | os.X_OK, effective_ids=effective):
        raise AgentRefused(f"dir = '{root.dir}': this user may not read it")
    return state


def _backend(settings: AgentSettings, root: RootSettings) -> str:
    """Choose how a root is watched, and log the reason."""
    backend, why, unwanted = choose(settings.backend, bytes(root.dir))
    nobody = why_nobody(backend, bytes(root.dir), wanted=settings.actors)
    (_log.warning if unwanted else _log.info)(
        "backend",
        project=root.project,
        backend=backend.name,
        why=why,
        actors=nobody is None,
        **({"no_actors": nobody} if nobody else {}),
    )
    return backend.name
