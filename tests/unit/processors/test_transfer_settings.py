"""Settings of the transfer worker: what cannot be set away, and how tries are paced."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from processors.transfer_settings import TransferSettings


def test_progress_is_told_at_least_every_two_seconds() -> None:
    """The contract's limit cannot be set away."""
    assert TransferSettings().progress_s <= 2
    with pytest.raises(ValidationError, match="progress_s"):
        TransferSettings(progress_s=2.1)


def test_pause_doubles_up_to_the_longest() -> None:
    """However many tries there were."""
    settings = TransferSettings(first_retry_s=0.5, longest_retry_s=3)

    assert [settings.pause_s(attempts) for attempts in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]
    assert settings.pause_s(100_000) == 3
