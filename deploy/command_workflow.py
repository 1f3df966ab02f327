"""`fswire workflow …`: what is done when something happens, written to the registry topic and listed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from agent.kafka import KafkaSettings
from deploy import connection, output
from deploy.command_registry import ArgumentRefused, reading_registry
from deploy.connection import DataDir
from deploy.extras import needs

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
