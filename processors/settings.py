"""Settings of one `fswire processors` process, read once from `FSWIRE_PROCESSORS_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.kafka import MAX_RECORD_BYTES

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]


class ProcessorsSettings(BaseSettings):
    """How a worker takes part in its groups, and how much it holds in memory."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_PROCESSORS_", frozen=True, extra="forbid")

    web_host: str = "127.0.0.1"
    """Address of the worker's web server: `/metrics`, and Faust's own pages."""
    web_port: int = Field(default=6066, ge=1, le=65535)
    """TCP port of the worker's web server."""
    data_dir: Path = Path(".fswire/processors")
    """What can be read again from the topics: the known files of each partition, and Faust's own."""
    group: str = "fswire-normalize"
    """Consumer group of normalize; workers of one group share the partitions."""
    session_timeout_ms: int = Field(default=6_000, ge=1_000)
    """After this long without a heartbeat the group gives a worker's partitions to another."""
    heartbeat_interval_ms: int = Field(default=1_000, ge=100)
    """How often a worker tells the group that it lives."""
    fetch_max_wait_ms: int = Field(default=100, ge=1)
    """How long the broker may hold a read when there is nothing new; records that arrive end it at once."""
    chunk_events: int = Field(default=2_000, ge=1)
    """Events of one partition decided together. A single larger record is a chunk of its own."""
    backlog_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Read but undecided bytes of one partition from which on reading it pauses."""
    event_id_days: int = Field(default=7, ge=1)
    """How long the `eventId` of a PUT is remembered."""
    event_ids: int = Field(default=5_000_000, ge=1)
    """How many are remembered for one partition; beyond it a repeat of the oldest is a new event."""
    agent_days: int = Field(default=35, ge=1)
    """How long an agent that is silent is remembered; longer than dead letters are kept."""
    stop_grace_ms: int = Field(default=2_000, ge=0)
    """How long a chunk under way may take to end when its partition is given away, or the worker stops."""
    log_level: LogLevel = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""

    def member(self) -> dict[str, Any]:
        """Return the arguments of a consumer that is a member of a group, and says itself what is done."""
        return {
            "enable_auto_commit": False,
            "session_timeout_ms": self.session_timeout_ms,
            "rebalance_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": self.heartbeat_interval_ms,
            "fetch_max_wait_ms": self.fetch_max_wait_ms,
            "max_partition_fetch_bytes": 2 * MAX_RECORD_BYTES,
        }
