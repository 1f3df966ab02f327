"""What holds for every test."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is; the rest stays, also where CI has its own profile.
settings.register_profile("fswire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fswire")


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """A part that a test ran may have set up logging to a stream that is closed with the test."""
    before = set(threading.enumerate())
    yield
    _end_timers(set(threading.enumerate()) - before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _end_timers(threads: set[threading.Thread]) -> None:
    """End what would log a second or a minute later, into what another test captures."""
    timers = [thread for thread in threads if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.cancel()
    for timer in timers:
        timer.join(timeout=5)
