"""`endpoint.json`: where a running local stack is reached, and with which key. For its owner only."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.data_dir import DataDirRefused, write_private

NAME = "endpoint.json"


class Endpoint(msgspec.Struct, frozen=True):
    """Written when the stack is ready, removed when it stops."""

    api: str
    """`http://127.0.0.1:PORT`"""
    tls_api: str | None
    bootstrap_servers: str
    clickhouse: str
    """With user and password."""
    admin_key: str
    """`ID.SECRET`"""


def write(directory: Path, endpoint: Endpoint) -> None:
    """Put the endpoint into a data directory, mode 0600."""
    write_private(directory / NAME, msgspec.json.encode(endpoint) + b"\n")


def remove(directory: Path) -> None:
    """Take it away: nobody serves there any more."""
    (directory / NAME).unlink(missing_ok=True)


def read(directory: Path) -> Endpoint:
    """Return the endpoint of the stack in a data directory; DataDirRefused: none is running there."""
    path = directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except FileNotFoundError:
        raise DataDirRefused(
            f"no running system in {directory}: there is no {NAME}; start one with `fswire up --data-dir`"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise DataDirRefused(f"{path} cannot be read: {error}") from error
