"""Which optional dependencies a command needs, said in one line when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_OURS = {"agent", "processors", "api", "deploy"}


class ExtraMissing(Exception):
    """A command's dependencies are not installed; the message says how to get them."""


@contextmanager
def needs(extra: Literal["server", "local"]) -> Iterator[None]:
    """Turn a failed import of somebody else's module into ExtraMissing; our own modules must be there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        raise ExtraMissing(
            f"this command needs the {extra} extra: pip install 'fswire[{extra}]' ({error.name} is missing)"
        ) from error
