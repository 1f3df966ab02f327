"""`fswire export`: a project's history as a file, of any length."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy import api_client, connection
from deploy.connection import DataDir

Format = Literal["csv", "ndjson", "parquet"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    project: str,
    format_: Annotated[Format, typer.Option("--format", help="Of the file.")] = "csv",
    output: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    path_like: Annotated[str | None, typer.Option(help="Only names with this in them.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Happened at or after this time.")] = None,
    to: Annotated[str | None, typer.Option(help="Happened before this time.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Only this content.")] = None,
    host: Annotated[str | None, typer.Option(help="Only events of this host.")] = None,
    rows: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    cursor: Annotated[
        str | None, typer.Option(help="TIMESTAMPUTC/EVENTID of a row: go on behind it.")
    ] = None,
    directory: DataDir = None,
) -> None:
    """Write a project's history, newest first: CSV, a JSON object a line, or Parquet."""
    connection.use_quietly(directory)
    given = {
        "event": event, "pathLike": path_like, "from": from_, "to": to, "sha256": sha256, "host": host,
        "rows": rows, "cursor": cursor,
    }  # fmt: skip
    asked = {name: value for name, value in given.items() if value is not None}
    if output is None and format_ == "parquet":
        api_client.refuse_terminal("Parquet")
    path = f"/2026-02-01/systems/directory-monitor/{project}/export.{format_}"
    with api_client.answered("GET", path, params=asked) as answer:
        if output is None:
            api_client.copy(answer, sys.stdout.buffer)
            return
        with output.open("wb") as file:
            api_client.copy(answer, file)
