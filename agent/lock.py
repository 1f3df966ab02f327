"""One agent at a time on one journal: numbers given twice would be events lost."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_NAME = "lock"
_TRIES = 5
_PATIENCE_S = 0.02
"""`holder` has the lock for a moment to find out whether anyone does."""


class Locked(Exception):
    """A state directory cannot be held; the message names it and says why."""


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold `directory` for this process until the end of the block, or of the process; raises Locked."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (directory / _NAME).open("a")
    except OSError as error:
        raise Locked(f"state_dir = '{directory.parent}': {error.strerror}: {error.filename}") from error
    with file:
        if not _lock(file, tries=_TRIES):
            raise Locked(f"{directory}: another agent is using this state directory")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def holder(directory: Path) -> int | None:
    """Return the id of the process that holds `directory`, None if none does."""
    try:
        with (directory / _NAME).open("r+") as file:
            content = file.read().strip()
            return None if _lock(file) or not content.isdecimal() else int(content)
    except OSError:
        return None


def _lock(file: IO[str], *, tries: int = 1) -> bool:
    """Lock an open file until it is closed; False: another process has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_PATIENCE_S if left else 0)
        else:
            return True
    return False
