"""The data directory of a local stack: one stack at a time, and what it remembers from start to start.

`lock` is held while a stack runs, `stack.json` (0600) keeps ports and secrets, `logs/` what the parts said;
the parts have directories of their own beside them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

AGENTS = "agents"
"""The agents' state directory within a data directory."""


class DataDirRefused(Exception):
    """The directory cannot be used; the message says why and what to do."""


class Memory(msgspec.Struct):
    """What a stack keeps from start to start."""

    ports: dict[str, int] = {}
    """By the name of what listens there."""
    clickhouse_password: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(24))
    session_secret: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    """Signs the cookies of the pages, so that sessions outlast a restart."""
    admin_key: str | None = None
    """`ID.SECRET`, kept so that it stays the same."""


def default() -> Path:
    """Return `$FSWIRE_DATA_DIR`, or `fswire` below the user's data directory (XDG)."""
    if chosen := os.environ.get("FSWIRE_DATA_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fswire"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory if need be and hold it until the block ends. DataDirRefused: another one does."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / "lock").open("a+")
    except OSError as error:
        raise DataDirRefused(f"the data directory {directory} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DataDirRefused(
                f"the data directory {directory} is in use by a running fswire up "
                f"(pid {lock.read().strip()}): stop that one, or give another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def recall(directory: Path) -> Memory:
    """Return what the last stack here kept; a new memory where there was none."""
    path = directory / "stack.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.DecodeError) as error:
        raise DataDirRefused(f"{path} cannot be read: {error}") from error


def keep(directory: Path, memory: Memory) -> None:
    """Write the memory down."""
    write_private(directory / "stack.json", msgspec.json.format(msgspec.json.encode(memory), indent=2))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only its owner can read."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
