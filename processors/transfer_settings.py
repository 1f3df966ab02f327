"""Settings of one `fswire transfers` process, read once from `FSWIRE_TRANSFERS_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.settings import LogLevel

_MOST_DOUBLINGS = 60
"""Beyond any pause that can be set, and far below what overflows a float."""


class TransferSettings(BaseSettings):
    """Where files land, and how much transfers may take of network and disk."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_TRANSFERS_", frozen=True, extra="forbid")

    root: Path = Path(".fswire/transfers")
    """The one directory below which files are written and removed. One process at a time."""
    project: str | None = None
    """Project that gets an event for each file that is complete, or removed; it must be registered."""
    group: str = "fswire-transfers"
    """Consumer group; one of its members fetches, the others stand by."""
    at_once: int = Field(default=4, ge=1)
    """Transfers under way at one time; more are `Queued`."""
    bytes_per_second: int = Field(default=0, ge=0)
    """Of all transfers together; 0: no limit."""
    max_bytes: int = Field(default=1 << 40, ge=1)
    """Largest file; a server that sends more is cut off there."""
    free_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """What must stay free on the root's disk."""
    attempts: int = Field(default=5, ge=1)
    """Tries that bring nothing new, in a row, before a transfer has failed."""
    first_retry_s: float = Field(default=0.5, gt=0)
    """Pause before the second try; each further one is twice as long."""
    longest_retry_s: float = Field(default=60, gt=0)
    """Longest pause between tries."""
    connect_timeout_s: float = Field(default=10, gt=0)
    """How long a connection may take."""
    read_timeout_s: float = Field(default=30, gt=0)
    """How long a server may send nothing."""
    longest_s: float = Field(default=86_400, gt=0)
    """How long one try may take: a server that drips is cut off."""
    progress_s: float = Field(default=1, gt=0, le=2)
    """How often progress is told."""
    log_level: LogLevel = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""

    def pause_s(self, attempts: int) -> float:
        """Return the pause after so many tries in a row that brought nothing new."""
        doublings = min(attempts - 1, _MOST_DOUBLINGS)
        return float(min(self.first_retry_s * 2**doublings, self.longest_retry_s))
