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
    """Print place, time, project, reason and detail of each, and when it was last replayed."""
    connection.use_quietly(directory)
    found = asyncio.run(_chosen(None, reason, project))
    output.rows(
        ("place", "received", "project", "topic", "reason", "detail", "size", "replayed"),
        (
            (
                str(each.place),
                each.content.received,
                each.project,
                f"{each.content.topic}/{each.content.partition}:{each.content.offset}",
                each.content.reason,
                each.content.detail,
                each.content.size,
                each.replayed or None,
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
    everything: Annotated[
        bool, typer.Option("--all", help="Every letter that was not replayed yet.")
    ] = False,
    directory: DataDir = None,
) -> None:
    """Try letters again, once what was wrong is mended; what is taken by now is not taken twice.

    One that was replayed before is tried again only where its PLACE is given.
    """
    connection.use_quietly(directory)
    if not (places or reason or project or everything):
        raise ArgumentRefused("say which: places, --reason, --project or --all")

    async def again() -> bool:
        chosen = await _chosen(places, reason, project)
        return await _replayed([each for each in chosen if places or not each.replayed])

    raise typer.Exit(0 if asyncio.run(again()) else 1)


async def _replayed(chosen: list[Letter]) -> bool:
    """Try letters again, say of each what came of it; tell whether none was refused."""
    with needs("server"):
        from processors.clickhouse import ClickHouseSettings
        from processors.letters import ReplayRefused, replay
        from processors.sink_database import RowsRefused
    kafka, clickhouse, refused = KafkaSettings(), ClickHouseSettings(), 0
    for letter in chosen:
        try:
            await replay(letter, kafka, clickhouse)
        except (ReplayRefused, RowsRefused) as error:
            refused += 1
            print(f"{letter.place}: not replayed: {' '.join(str(error).splitlines())}")
        else:
            print(f"{letter.place}: replayed")
    return not refused


async def _chosen(places: list[str] | None, reason: str | None, project: str | None) -> list[Letter]:
    """Return the letters asked for; every place has to be one. Raises ArgumentRefused."""
    with needs("server"):
        from processors.letters import Place, read
    try:
        wanted = {Place.parse(place) for place in places or ()}
    except ValueError:
        raise ArgumentRefused(f"{places}: a place is PARTITION:OFFSET, as `list` shows it") from None
    found: dict[Place, Letter] = {}
    async for letter in read(KafkaSettings()):
        if letter.marks is not None:
            if letter.marks in found:
                found[letter.marks] = found[letter.marks]._replace(replayed=letter.content.received)
        elif (
            (not wanted or letter.place in wanted)
            and reason in (None, letter.content.reason)
            and project in (None, letter.project)
        ):
            found[letter.place] = letter
    if missing := wanted - found.keys():
        raise ArgumentRefused(f"there is no dead letter {min(missing)}")
    return list(found.values())
