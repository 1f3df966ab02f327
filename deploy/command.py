"""The `fswire` command: reads arguments, says what is wrong in one line, leaves the work to the stages.

Every command imports what it needs when it runs: the base installation has the agent's dependencies alone.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import Annotated

import typer

from deploy import (
    command_apply,
    command_dead_letters,
    command_doctor,
    command_export,
    command_query,
    command_registry,
    command_stages,
    command_transfers,
    command_watch,
    command_workflow,
)
from deploy.explain import explain

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(command_registry.projects, name="project")
app.add_typer(command_registry.keys, name="key")
app.add_typer(command_workflow.workflows, name="workflow")
app.add_typer(command_dead_letters.letters, name="dead-letters")
app.add_typer(command_apply.topics, name="topics")
app.add_typer(command_apply.schema, name="schema")
command_stages.add_to(app)
command_transfers.add_to(app)
command_watch.add_to(app)
command_query.add_to(app)
command_export.add_to(app)
command_doctor.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(importlib.metadata.version("fswire"))
        raise typer.Exit


@app.callback()
def _options(
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """File system events of a fleet: published to Kafka, normalized, audited in ClickHouse."""


def main() -> None:
    """Run the command line of this process; the console script `fswire`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read standard output has what it wanted; nothing more can be flushed there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("FSWIRE_TRACEBACK"):
            raise
        print(f"fswire: {explain(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
