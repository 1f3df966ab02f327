"""`fswire topics apply` and `fswire schema apply`: make what the stages rely on, check what is there."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from deploy import connection
from deploy.connection import DataDir
from deploy.extras import needs

topics = typer.Typer(help="The topics of the broker.", no_args_is_help=True)
schema = typer.Typer(help="The tables of ClickHouse.", no_args_is_help=True)


@topics.callback()
def _topics() -> None:
    """Make `topics` a group although it has one command."""


@schema.callback()
def _schema() -> None:
    """Make `schema` a group although it has one command."""


@topics.command("apply")
def apply_topics(
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic of events; fixed once made.")] = 12,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 3,
    directory: DataDir = None,
) -> None:
    """Create the topics that are missing, and check the others."""
    connection.use_quietly(directory)
    with needs("server"):
        from agent.kafka import KafkaSettings
        from processors import topics_apply
    for line in asyncio.run(topics_apply.apply(KafkaSettings(), partitions, replication)):
        print(line)


@schema.command("apply")
def apply_schema(
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, help="Rows of tables that grow are dropped after so many days; 0: never."),
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Make them on every server of this cluster.")] = None,
    directory: DataDir = None,
) -> None:
    """Create the tables that are missing."""
    connection.use_quietly(directory)
    with needs("server"):
        from deploy import schema as tables
        from processors.clickhouse import ClickHouseSettings
    for line in tables.apply(ClickHouseSettings().url, keep_days=keep_days, cluster=cluster):
        print(line)
