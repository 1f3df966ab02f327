"""Waiting for the end of processes that are nobody's children here."""

from __future__ import annotations

import os
import select


def ends_within(pid: int, seconds: float) -> bool:
    """Tell whether a process has ended, or does so in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
