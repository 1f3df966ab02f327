"""A disk of a few megabytes that a test can fill up: a tmpfs of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(at: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a disk of a size on a new directory; skip the test where that may not be."""
    at.mkdir()
    size = f"size={size_bytes}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(at)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def fill(disk: Path, *, free_bytes: int = 0) -> Path:
    """Leave only so much space on a disk; returns the file to remove for the rest."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        file.write(bytes(max(0, found.f_bavail * found.f_frsize - free_bytes)))
    return filler
