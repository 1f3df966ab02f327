"""The commands that run until they are stopped: `up`, `agent`, `processors`, `sink`, `api`, `store`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deploy import connection, data_dir, settings_file
from deploy.connection import DataDir
from deploy.extras import needs

Kinds = Annotated[
    str | None, typer.Option(help="Kinds of events to publish besides the ordinary ones, comma-separated.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands, in the order in which `--help` shows them."""
    for command in (up, agent, processors, sink, api, store):
        app.command()(command)


def up(
    directories: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]DIR…", help="What to watch; a project each, NAME or the directory's name."
        ),
    ] = None,
    data_dir_: Annotated[
        Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The api's port; 0 takes a free one.")] = 8080,
    kinds: Kinds = None,
    clickhouse: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this ClickHouse server; no store is started.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT,…", help="Use this Kafka cluster; no broker is started.")
    ] = None,
) -> None:
    """Run the whole system on this machine, an agent on each DIR, until Ctrl-C."""
    connection.quiet_libraries()
    settings_file.load()
    with needs("local"):
        from deploy import up as local
    status = local.main(
        directories or [],
        data_dir_ or data_dir.default(),
        port=port,
        kinds=kinds,
        clickhouse=clickhouse,
        bootstrap_servers=bootstrap_servers,
    )
    raise typer.Exit(status)


def agent(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="What to watch.", show_default=False)
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Its project; {host} stands for the host's name.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="F", help="Settings, TOML: roots and more.")] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print raw events; needs no broker.")] = False,
    backend: Annotated[
        Literal["auto", "inotify", "fanotify", "watchfiles", "poll"] | None,
        typer.Option(help="How to watch."),
    ] = None,
    kinds: Kinds = None,
    data_dir_: DataDir = None,
) -> None:
    """Run an edge agent: what happens below DIR, to the broker."""
    connection.use(data_dir_)
    from agent import run, settings
    from agent.kafka import KafkaSettings

    given: dict[str, Any] = {"stdout": stdout or None, "backend": backend, "kinds": kinds}
    if directory is not None:
        if project is None:
            raise typer.BadParameter("DIR needs its --project")
        given["roots"] = [{"dir": directory, "project": project}]
    told = settings.read(config, **{name: value for name, value in given.items() if value is not None})
    raise typer.Exit(run.main(told, KafkaSettings()))


def processors(directory: DataDir = None) -> None:
    """Run one Faust worker: raw events to vocabularies."""
    connection.use(directory)
    with needs("server"):
        from processors import worker
    raise typer.Exit(worker.main())


def sink(directory: DataDir = None) -> None:
    """Write normalized events to ClickHouse."""
    connection.use(directory)
    with needs("server"):
        from processors import sink as stage
    raise typer.Exit(stage.main())


def api(directory: DataDir = None) -> None:
    """Serve the HTTP api."""
    connection.use(directory)
    with needs("server"):
        from api import serve
    raise typer.Exit(serve.main())


def store() -> None:
    """Serve the embedded ClickHouse engine on ClickHouse's HTTP interface."""
    settings_file.load()
    with needs("local"):
        from deploy import store as stage
    raise typer.Exit(stage.main())
