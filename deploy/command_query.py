"""`fswire tail` and `fswire sql`: follow a topic, ask the database."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any, Literal

import typer

from deploy import api_client, connection, output
from deploy.connection import DataDir
from deploy.extras import needs

Vocabulary = Literal["donutwork", "watch", "notify"]
Format = Literal["table", "json", "csv", "arrow", "parquet"]
_MEDIA_TYPES = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_BINARY = ("arrow", "parquet")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(tail)
    app.command()(sql)


def tail(
    project: Annotated[str | None, typer.Argument(help="Of this project alone.")] = None,
    vocabulary: Annotated[Vocabulary, typer.Option(help="Which topic.")] = "donutwork",
    directory: DataDir = None,
) -> None:
    """Follow a normalized topic from now on: one JSON value a line."""
    connection.use_quietly(directory)
    with needs("server"):
        from agent.kafka import KafkaSettings
        from processors.tail import follow

    async def run() -> None:
        async for value in follow(KafkaSettings(), vocabulary, project):
            sys.stdout.buffer.write(value + b"\n")
            sys.stdout.buffer.flush()

    asyncio.run(run())


def sql(
    query: str,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Default: a table on a terminal, else tab-separated lines."),
    ] = None,
    directory: DataDir = None,
) -> None:
    """Run a read-only query."""
    connection.use_quietly(directory)
    if format_ in _BINARY:
        api_client.refuse_terminal(f"{format_} output")
    headers = {"Accept": _MEDIA_TYPES.get(format_ or "table", "application/json")}
    with api_client.answered("POST", "/v1/sql", json={"query": query}, headers=headers) as answer:
        if format_ is not None and format_ != "table":
            api_client.copy(answer, sys.stdout.buffer)
            return
        answer.read()
    _print(answer.json(), table=format_ == "table")


def _print(answer: dict[str, Any], *, table: bool) -> None:
    names = [column["name"] for column in answer["columns"]]
    body = ([_cell(value) for value in row] for row in answer["rows"])
    output.table(names, body) if table else output.rows(names, body)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
