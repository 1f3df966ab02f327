"""The command `fswire watch`, where its arguments are not those that `deploy.main` knows by itself."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command to others."""
    app.command()(watch)


def watch(
    dialect: Annotated[
        Literal["seed", "distant"],
        typer.Option(help="How changes are spelt: as documented, or as the programs of distant have it."),
    ] = "seed",
) -> None:
    """Watch paths of this machine: requests on standard input, changes on standard output, no broker."""
    from deploy import watch_process

    raise typer.Exit(watch_process.main(dialect))
