"""`fswire tail` and `fswire sql`: follow a topic, ask the database."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any, Literal

import typer

from deploy import connection, output
from deploy.connection import ClientSettings, DataDir
from deploy.extras import needs

Vocabulary = Literal["donutwork", "watch", "notify"]


class QueryFailed(Exception):
    """The api did not answer a query with rows; the message is its own."""


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


def sql(query: str, directory: DataDir = None) -> None:
    """Run a read-only query; prints a table, or tab-separated lines where that goes to no terminal."""
    connection.use_quietly(directory)
    answer = _post(ClientSettings(), query)
    names = [column["name"] for column in answer["columns"]]
    output.rows(names, ([_cell(value) for value in row] for row in answer["rows"]))


def _post(client: ClientSettings, query: str) -> dict[str, Any]:
    with needs("server"):
        import httpx2
    try:
        response = httpx2.post(
            f"{client.url.rstrip('/')}/v1/sql",
            json={"query": query},
            headers={"Authorization": f"Bearer {client.key.get_secret_value()}"},
            timeout=60,
        )
    except httpx2.TransportError as error:
        raise QueryFailed(
            f"the api at {client.url} does not answer: {error} (check FSWIRE_CLIENT_URL or --data-dir)"
        ) from None
    try:
        answer: dict[str, Any] = response.json()
    except ValueError:
        answer = {}
    if response.status_code != 200:
        raise QueryFailed(answer.get("error") or f"the api at {client.url} answered {response.status_code}")
    return answer


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
