"""`fswire up`: the whole system on this machine, until a signal or a part that cannot be kept running."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from pydantic import SecretStr

from agent import settings
from agent.kafka import KafkaSettings
from deploy import data_dir
from deploy.display import Display, display
from deploy.explain import broker_unusable
from deploy.stack import Plan, Stack
from deploy.supervisor import Supervisor
from deploy.watched import watched
from processors.clickhouse import ClickHouseSettings


class BrokerUnusable(Exception):
    """The broker did not do what a step asked for; the message says which, where and what to check."""


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    directories: Sequence[str],
    directory: Path,
    *,
    port: int,
    tls_port: int | None,
    kinds: str | None,
    clickhouse: str | None,
    bootstrap_servers: str | None,
) -> int:
    """Run the stack in a data directory; return the exit status.

    0 after a signal, however far it had come; 130 if a second one cut the stopping short. Raises what is
    wrong with the arguments (WatchedRefused, SettingsRefused, DataDirRefused, PortTaken), why a part cannot
    be kept running (PartsFailed), BrokerUnusable, and the errors of the other steps.
    """
    directory = directory.expanduser().absolute()
    plan = Plan(
        directory, watched(directories, directory), port, tls_port, kinds, clickhouse, bootstrap_servers
    )
    _check(plan)
    with data_dir.held(directory), display() as shown:
        return asyncio.run(_run(plan, shown))


def _check(plan: Plan) -> None:
    """Raise for settings that no part could use: agent.settings.SettingsRefused, pydantic.ValidationError."""
    if plan.bootstrap_servers is not None:
        KafkaSettings(bootstrap_servers=plan.bootstrap_servers)
    if plan.clickhouse is not None:
        ClickHouseSettings(url=SecretStr(plan.clickhouse))
    given = {} if plan.kinds is None else {"kinds": plan.kinds}
    for project, directory in plan.watched:
        settings.read(None, roots=[{"dir": directory, "project": project}], **given)


async def _run(plan: Plan, shown: Display) -> int:
    supervisor = Supervisor(plan.data_dir / "logs", shown)
    stack = Stack(plan, supervisor, shown)
    shown.say(f"data in {plan.data_dir}, logs in {plan.data_dir / 'logs'}; Ctrl-C stops everything")
    asked = _stop_on_signals(supervisor)
    try:
        if await _unless(asked, supervisor, stack.rise()):
            shown.ready(stack.at.api)
            await _unless(asked, supervisor, asyncio.Event().wait())
    except KafkaError as error:
        raise BrokerUnusable(broker_unusable(error, stack.at.bootstrap_servers)) from error
    finally:
        await stack.fall()
    return 130 if supervisor.hurry.is_set() else 0


async def _unless(asked: asyncio.Event, supervisor: Supervisor, step: Coroutine[Any, Any, object]) -> bool:
    """Run a step to its end unless it is asked to stop (False) or a part fails (PartsFailed)."""
    running = asyncio.create_task(step)
    stopping = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait((running, stopping, supervisor.failure), return_when=asyncio.FIRST_COMPLETED)
        if supervisor.failure.done():
            raise supervisor.failure.result()
        if running.done():
            await running
        return not asked.is_set()
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


def _stop_on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that the first signal sets; the second one hurries."""
    asked = asyncio.Event()

    def received() -> None:
        if asked.is_set():
            supervisor.hurry.set()
        asked.set()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, received)
    return asked
