"""Trees whose paths are longer than the kernel takes in one call: made and written to step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def opened(path: Path, names: list[str]) -> Iterator[int]:
    """Open the directory that is reached from `path` by names, one after the other."""
    descriptor = os.open(path, _DIRECTORY)
    try:
        for name in names:
            descriptor, above = os.open(name, _DIRECTORY, dir_fd=descriptor), descriptor
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


def make(path: Path, names: list[str]) -> None:
    """Make a directory in a directory in a directory, by names."""
    for depth, name in enumerate(names):
        with opened(path, names[:depth]) as above:
            os.mkdir(name, dir_fd=above)


def write(path: Path, names: list[str], content: bytes) -> None:
    """Write the file whose directories and name are given."""
    with opened(path, names[:-1]) as above:
        descriptor = os.open(names[-1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=above)
        os.write(descriptor, content)
        os.close(descriptor)
