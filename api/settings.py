"""Settings of one api process, read once from `FSWIRE_API_…`."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
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
    max_bulk_body_bytes: int = Field(default=1024 * 1024, ge=1024, le=16 * 1024 * 1024)
    """Largest body of a PUT that is a list of events; each of them is bounded like one alone."""
    max_held_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Bodies of all requests under way together; more are answered 503."""
    max_requests: int = Field(default=10_000, ge=1)
    """Requests under way at one time, exports among them; more are answered 503 at once."""
    head_timeout_s: float = Field(default=10, gt=0)
    """How long a request's head may take, from its first byte or from connecting; then it is answered 408."""
    body_timeout_s: float = Field(default=30, gt=0)
    """How long a request's body may take; then it is answered 408."""
    stalled_timeout_s: float = Field(default=30, gt=0)
    """A client that takes less than 64 KiB of what waits for it in this time is cut off."""
    trusted_proxies: str = ""
    """Comma-separated addresses or networks whose `X-Forwarded-For` is believed, as the client's address."""
    requests_per_s: float = Field(default=5_000, gt=0)
    """Requests of one key in the long run; more are answered 429. Each event of a list counts."""
    requests_burst: int = Field(default=10_000, ge=1)
    """Requests that a key may make at once after it was quiet."""
    refusals_per_s: float = Field(default=10, gt=0)
    """Refusals (401) of one address, and wrong tokens of one key, in the long run; more are answered 429."""
    refusals_burst: int = Field(default=100, ge=1)
    """Refusals at once after none were needed."""
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
    export_concurrency: int = Field(default=16, ge=1)
    """Exports that stream at one time; more are answered 503."""
    export_timeout_s: int = Field(default=60, ge=1)
    """`max_execution_time` of one page of an export."""
    session_secret: SecretStr | None = None
    """Signs the cookies of the pages: the same on every process behind one address. Unset: a random one, so
    that sessions end with the process."""
    session_hours: int = Field(default=12, ge=1, le=24 * 31)
    """After which who signed in to the pages has to do it again."""
    pages_timeout_s: int = Field(default=10, ge=1)
    """`max_execution_time` of one query of a page."""
    max_watchers: int = Field(default=8_000, ge=1)
    """Change-notify and watch streams at one time; more are refused."""
    live_queue_records: int = Field(default=1_000, ge=10)
    """What one subscriber may leave waiting before it is cut off; who waits for the same shares it."""
    keep_alive_s: float = Field(default=10, gt=0, le=20)
    """How often a stream shows that it lives. Qumulo's client gives up after 60 s of silence."""
    tls_port: int | None = Field(default=None, ge=0, le=65535)
    """TCP port to serve the same on with TLS; 0 takes a free one. Unset: none."""
    tls_certfile: str | None = None
    """PEM file of the certificate and those that vouch for it; unset: a self-signed one is made and kept."""
    tls_keyfile: str | None = None
    """PEM file of its key, where that is another."""
    data_dir: Path | None = None
    """Where a certificate that is made is kept; unset: `fswire/api` below the user's data directory."""
    shutdown_grace_s: int = Field(default=10, ge=1)
    """How long a stop waits for requests under way."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, given: str) -> str:
        for proxy in given.split(",") if given else ():
            try:
                ip_network(proxy.strip())
            except ValueError as error:
                raise ValueError(f"addresses and networks are wanted, such as 10.0.0.0/8: {error}") from None
        return given
