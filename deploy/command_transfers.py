"""The command `fswire transfers`: the worker that fetches for the file monitor."""

from __future__ import annotations

import typer

from deploy import connection
from deploy.connection import DataDir
from deploy.extras import needs


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transfers)


def transfers(directory: DataDir = None) -> None:
    """Fetch what the file monitor has queued, to files below one directory."""
    connection.use(directory)
    with needs("server"):
        from processors import transfer_worker as stage
    raise typer.Exit(stage.main())
