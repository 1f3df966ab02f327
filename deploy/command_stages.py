"""The commands that run until they are stopped: `up`, `agent`, `processors`, `sink`, `api`, `store`."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deploy import connection, data_dir, settings_file
from deploy.connection import DataDir
from deploy.extras import needs

Kinds = Annotated[
    str | None, typer.Option(help="Kinds of events to publish besides the ordinary ones, comma-separated.")
]

TlsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Serve the api with TLS on this port too; 0 takes a free one."),
]


class _DirectoryOrCommand(typer.core.TyperGroup):
    """`fswire agent DIR` is `fswire agent run DIR`: what is no name of a command is an argument of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and args[0] in self.commands
        return super().parse_args(ctx, args if named else ["run", *args])


agents = typer.Typer(cls=_DirectoryOrCommand)


def add_to(app: typer.Typer) -> None:
    """Add the commands, in the order in which `--help` shows them."""
    app.command()(up)
    app.add_typer(agents, name="agent")
    for command in (processors, sink, api, store):
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
    tls_port: TlsPort = None,
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
        tls_port=tls_port,
        kinds=kinds,
        clickhouse=clickhouse,
        bootstrap_servers=bootstrap_servers,
    )
    raise typer.Exit(status)


@agents.callback()
def _agents() -> None:
    """Run an edge agent: what happens below DIR, to the broker."""


@agents.command("run")
def agent(
    directory: Annotated[
        # access(2), which typer would ask, knows nothing of capabilities
        Path | None,
        typer.Argument(metavar="DIR", help="What to watch.", show_default=False, readable=False),
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
    only: Annotated[
        str | None, typer.Option(metavar="K,…", help="The only kinds of events to publish, comma-separated.")
    ] = None,
    except_: Annotated[
        str | None, typer.Option("--except", metavar="K,…", help="Kinds of events not to publish.")
    ] = None,
    data_dir_: DataDir = None,
) -> None:
    """Run an edge agent: what happens below DIR, to the broker.

    `fswire agent rescan` asks one that runs to compare its trees with what it has reported.
    """
    connection.use(data_dir_)
    from agent import run, settings
    from agent.kafka import KafkaSettings

    given: dict[str, Any] = {"stdout": stdout or None, "backend": backend, "kinds": kinds}
    given |= {"only": only, "except": except_}
    if directory is not None:
        if project is None:
            raise typer.BadParameter("DIR needs its --project")
        given["roots"] = [{"dir": directory, "project": project}]
    given = {name: value for name, value in given.items() if value is not None}
    reread = functools.partial(settings.read, config, **given)
    told, kafka = reread(), KafkaSettings()
    if not told.stdout:
        kafka.check()
    raise typer.Exit(run.main(told, kafka, reread))


@agents.command()
def rescan(
    project: Annotated[str | None, typer.Option(help="The project; without it all of them.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="F", help="Settings of the agent, TOML.")] = None,
    data_dir_: DataDir = None,
) -> None:
    """Ask a running agent of this machine to compare its trees with what it has reported."""
    settings_file.load()
    from agent import control, settings

    state_dir = data_dir_ / data_dir.AGENTS if data_dir_ else settings.state_dir(config)
    for asked in control.ask_rescan(state_dir, project):
        print(f"agent {asked.pid} compares now: {', '.join(asked.projects)}")


@agents.command()
def retire(
    agent: Annotated[str, typer.Argument(metavar="ID", help="The agent, as the table `agents` has it.")],
    directory: DataDir = None,
) -> None:
    """Take an agent that is no more out of metrics and tables; its events stay."""
    connection.use_quietly(directory)
    with needs("server"):
        from agent.kafka import KafkaSettings
        from processors import retire as stage
    for project in asyncio.run(stage.retire(KafkaSettings(), agent)):
        print(f"{agent}: retired from {project}")


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


def api(tls_port: TlsPort = None, directory: DataDir = None) -> None:
    """Serve the HTTP api."""
    connection.use(directory)
    with needs("server"):
        from api import serve
    raise typer.Exit(serve.main(tls_port))


def store() -> None:
    """Serve the embedded ClickHouse engine on ClickHouse's HTTP interface."""
    settings_file.load()
    with needs("local"):
        from deploy import store as stage
    raise typer.Exit(stage.main())
