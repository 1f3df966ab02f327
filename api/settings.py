"""Settings of one api process, read once from `FSWIRE_API_…`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """Where the api listens, and how much it lets one request take."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_API_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port to listen on; 0 takes a free one."""
    max_body_bytes: int = Field(default=256 * 1024, ge=1024, le=256 * 1024)
    """Largest request body. JSON can grow threefold when it is written again (`1e9` becomes `1000000000.0`),
    and the batch that carries it must stay under 900 KiB."""
    decision_timeout_ms: int = Field(default=5_000, ge=100)
    """How long a PUT waits for the processor's decision before it is answered 503."""
    catch_up_timeout_ms: int = Field(default=2_000, ge=100)
    """How long an unknown key or project waits for the registry's newest records; then it is answered 503."""
    max_pending: int = Field(default=10_000, ge=1)
    """PUTs that may await their decision at one time; more are answered 503 at once."""
    retry_after_s: int = Field(default=1, ge=1)
    """What `Retry-After` says with a 503."""
    history_timeout_s: int = Field(default=10, ge=1)
    """`max_execution_time` of one history query."""
    sql_max_execution_s: int = Field(default=30, ge=1)
    """`max_execution_time` of one query on `/v1/sql`."""
    sql_max_rows: int = Field(default=100_000, ge=1)
    """`max_result_rows` of one query on `/v1/sql`; a larger result is refused."""
    sql_max_result_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """`max_result_bytes` of one query on `/v1/sql`."""
    sql_max_memory_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    """`max_memory_usage` of one query on `/v1/sql`."""
    sql_max_query_chars: int = Field(default=16 * 1024, ge=64)
    """Longest query that `/v1/sql` parses."""
    sql_concurrency: int = Field(default=4, ge=1)
    """Queries of `/v1/sql` that run at one time; more wait their turn."""
    shutdown_grace_s: int = Field(default=10, ge=1)
    """How long a stop waits for requests under way."""
