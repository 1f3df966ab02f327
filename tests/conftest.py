"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """A part that a test ran may have set up logging to a stream that is closed with the test."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
