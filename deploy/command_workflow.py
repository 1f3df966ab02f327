"""`fswire workflow …`: what is done when something happens, written to the registry topic and listed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.kafka import KafkaSettings
from deploy import connection, output
from deploy.command_registry import ArgumentRefused, reading_registry
from deploy.connection import DataDir
from deploy.extras import needs

State = Literal["queued", "running", "succeeded", "failed"]

workflows = typer.Typer(help="Workflows: what is done when something happens.", no_args_is_help=True)


@workflows.command("apply")
def apply_workflows(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="Workflows, each a `[[workflow]]`.")],
    directory: DataDir = None,
) -> None:
    """Register the workflows of a file, or change them; running workers take them up at once."""
    connection.use_quietly(directory)
    with needs("server"):
        from processors.registry import write
        from processors.workflow import WorkflowRefused, read
    try:
        found = read(file.read_text("utf-8"), time.time_ns())
    except (OSError, UnicodeDecodeError, WorkflowRefused) as error:
        raise ArgumentRefused(f"{file}: {error}") from error
    asyncio.run(write(KafkaSettings(), *found))
    for workflow in found:
        print(f"{workflow.name}: applied")


@workflows.command("list")
def list_workflows(directory: DataDir = None) -> None:
    """Print the workflows there are."""
    connection.use_quietly(directory)

    async def read() -> list[tuple[object, ...]]:
        async with reading_registry(KafkaSettings()) as registry:
            return sorted(
                (one.name, one.project, one.trigger, one.action.kind) for one in registry.workflows.values()
            )

    output.rows(("name", "project", "trigger", "action"), asyncio.run(read()))


@workflows.command("delete")
def delete_workflow(name: str, directory: DataDir = None) -> None:
    """Take a workflow out of the registry; its runs stay."""
    connection.use_quietly(directory)
    with needs("server"):
        from processors.registry import delete

    async def remove() -> None:
        kafka = KafkaSettings()
        async with reading_registry(kafka) as registry:
            known = name in registry.workflows
        if not known:
            raise ArgumentRefused(f"there is no workflow {name!r}")
        await delete(kafka, "workflow", name)

    asyncio.run(remove())


@workflows.command("runs")
def list_runs(
    state: Annotated[State | None, typer.Option(help="Those in this state alone.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Those of this workflow alone.")] = None,
    project: Annotated[str | None, typer.Option(help="Those of this project alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    directory: DataDir = None,
) -> None:
    """Print runs of workflows, the newest first, as the database has them."""
    connection.use_quietly(directory)
    with needs("server"):
        from processors.clickhouse import ClickHouseSettings, connect
        from processors.run_table import Listed, newest
    client = connect(ClickHouseSettings())
    try:
        found = newest(client, state=state or "", workflow=workflow or "", project=project or "", limit=limit)
    finally:
        client.close()
    output.rows(Listed._fields, found)


@workflows.command("retry")
def retry_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids, as `runs` shows them.")],
    directory: DataDir = None,
) -> None:
    """Try failed runs again: each is queued once more, with the event that it is about."""
    connection.use_quietly(directory)
    with needs("server"):
        from processors.clickhouse import ClickHouseSettings, connect
        from processors.retry import RetryRefused, retry
        from processors.run_table import UnknownRun, place

    async def again() -> int:
        client, kafka, refused = connect(ClickHouseSettings()), KafkaSettings(), 0
        try:
            for run in runs:
                try:
                    await retry(kafka, run, *place(client, run))
                except (UnknownRun, RetryRefused) as error:
                    refused += 1
                    print(f"{run}: not retried: {error}")
                else:
                    print(f"{run}: queued again")
        finally:
            client.close()
        return refused

    raise typer.Exit(int(asyncio.run(again()) > 0))
