"""What a test says where a machine lacks a server that it needs: skipped, or failed where it was promised."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("FSWIRE_TEST_REQUIRE_STACK") == "1"


def cannot_start(what: str, error: object) -> NoReturn:
    """Skip the test, or fail it where the servers were promised."""
    reason = f"{what} cannot be started here: {error}"
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
