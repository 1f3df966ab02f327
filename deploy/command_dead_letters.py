"""`fswire dead-letters …`: what could not be taken, why, and another try."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.kafka import KafkaSettings
from deploy import connection, output
from deploy.command_registry import ArgumentRefused
from deploy.connection import DataDir
from deploy.extras import needs

if TYPE_CHECKING:
    from processors.letters import Letter

letters = typer.Typer(help="What could not be taken, and another try.", no_args_is_help=True)

Places = Annotated[list[str] | None, typer.Argument(metavar="[PLACE]…", help="As `list` shows them.")]
Reason = Annotated[str | None, typer.Option(help="Those parked for this reason alone.")]
Project = Annotated[str | None, typer.Option(help="Those of this project alone.")]


@letters.command("list")
def list_letters(reason: Reason = None, project: Project = None, directory: DataDir = None) -> None:
    """Print place, time, project, reason and detail of each."""
    connection.use_quietly(directory)
    found = asyncio.run(_chosen(None, reason, project))
    output.rows(
        ("place", "received", "project", "topic", "reason", "detail", "size"),
        (
            (
                str(each.place),
                each.content.received,
                each.project,
                f"{each.content.topic}/{each.content.partition}:{each.content.offset}",
                each.content.reason,
                each.content.detail,
                each.content.size,
            )
            for each in found
        ),
    )


@letters.command("show")
def show_letter(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="As `list` shows it.")],
    directory: DataDir = None,
) -> None:
    """Write the bytes of one to standard output."""
    connection.use_quietly(directory)
    (letter,) = asyncio.run(_chosen([place], None, None))
    sys.stdout.buffer.write(letter.value or b"")
    sys.stdout.buffer.flush()


@letters.command("replay")
def replay_letters(
    places: Places = None,
    reason: Reason = None,
    project: Project = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter there is.")] = False,
    directory: DataDir = None,
) -> None:
    """Try letters again, once what was wrong is mended; what is taken by now is not taken twice."""
    connection.use_quietly(directory)
    if not (places or reason or project or everything):
        raise ArgumentRefused("say which: places, --reason, --project or --all")
    with needs("server"):
        from processors.clickhouse import ClickHouseSettings
        from processors.letters import ReplayRefused, replay

    async def again() -> int:
        kafka, clickhouse, refused = KafkaSettings(), ClickHouseSettings(), 0
        for letter in await _chosen(places, reason, project):
            try:
                await replay(letter, kafka, clickhouse)
            except ReplayRefused as error:
                refused += 1
                print(f"{letter.place}: not replayed: {error}")
            else:
                print(f"{letter.place}: replayed")
        return refused

    raise typer.Exit(int(asyncio.run(again()) > 0))


async def _chosen(places: list[str] | None, reason: str | None, project: str | None) -> list[Letter]:
    """Return the letters asked for; every place has to be one. Raises ArgumentRefused."""
    with needs("server"):
        from processors.letters import Place, read
    try:
        wanted = {Place.parse(place) for place in places or ()}
    except ValueError:
        raise ArgumentRefused(f"{places}: a place is PARTITION:OFFSET, as `list` shows it") from None
    found = [
        letter
        async for letter in read(KafkaSettings())
        if (not wanted or letter.place in wanted)
        and reason in (None, letter.content.reason)
        and project in (None, letter.project)
    ]
    if missing := wanted - {letter.place for letter in found}:
        raise ArgumentRefused(f"there is no dead letter {min(missing)}")
    return found
