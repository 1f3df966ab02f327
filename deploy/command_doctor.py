"""`fswire doctor`: what an agent would find on this machine, a line a check."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy import connection
from deploy.connection import DataDir

if TYPE_CHECKING:
    from deploy.doctor_finding import Finding

_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]…",
            help="What would be watched; else as the settings say, or here.",
            readable=False,  # see `fswire agent`
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="F", help="An agent's settings, TOML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    data_dir_: DataDir = None,
) -> None:
    """Tell how this machine would be watched, what stands in the way, and what to do about it.

    Changes nothing; the exit status is 1 where something is a problem.
    """
    connection.use_quietly(data_dir_)
    from agent import settings
    from agent.kafka import KafkaSettings
    from deploy.doctor import examine

    given = _roots(directories, config)
    told = settings.read(config, **given)
    projects = [] if given else [root.project for root in told.named_roots()]
    findings = examine(told, KafkaSettings(), projects)
    _print_json(findings) if as_json else _print_lines(findings)
    raise typer.Exit(any(finding.verdict == "problem" for finding in findings))


def _roots(directories: list[Path] | None, config: Path | None) -> dict[str, Any]:
    """Return roots for directories that were named; without any, and without settings, this one."""
    if not directories and (config is not None or "FSWIRE_AGENT_ROOTS" in os.environ):
        return {}
    named = enumerate(directories or [Path()], 1)
    return {"roots": [{"dir": directory, "project": f"doctor-{number}"} for number, directory in named]}


def _print_json(findings: list[Finding]) -> None:
    print(json.dumps([finding._asdict() for finding in findings], indent=1))


def _print_lines(findings: list[Finding]) -> None:
    for check, verdict, said, todo in findings:
        typer.echo(f"{typer.style(f'{verdict:8}', fg=_COLOURS[verdict])} {check:12} {said}")
        if todo:
            typer.echo(f"{'':8} {'':12} -> {todo}")
