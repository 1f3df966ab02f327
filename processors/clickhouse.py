"""How every part of fswire reaches ClickHouse: one frozen settings model and the clients made from it."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# It logs a traceback for every connection refused; what is raised here says it in one line.
logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)

_AUTHENTICATION_FAILED = 516
_UNKNOWN_DATABASE = 81
MAX_KEEP_DAYS = 18_250
"""50 years: ClickHouse reckons when a row goes in 32 bits, and what is due after 2106 would go at once."""


class ClickHouseSettings(BaseSettings):
    """Connection to the database, read from `FSWIRE_CLICKHOUSE_…`."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_CLICKHOUSE_", frozen=True, extra="forbid")

    url: SecretStr = SecretStr("http://default@127.0.0.1:8123/default")
    """`http[s]://user:password@host:port/database`; user and password percent-encoded."""
    cluster: str | None = Field(default=None, pattern="^[A-Za-z0-9_.{}-]+$")
    """Where `fswire schema apply` makes the tables: on every server of this cluster; unset: on one."""
    keep_days: int | None = Field(default=None, ge=0, le=MAX_KEEP_DAYS)
    """After which `fswire schema apply` has rows dropped, 0: never; unset: it leaves that as it is."""

    @field_validator("url")
    @classmethod
    def _has_a_host(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # of an unquoted password it would tell a part
            complete = False
        if not complete:
            raise ValueError("expected http://user:password@host:port/database, or https")
        return url

    @property
    def place(self) -> str:
        """User, host, port and database, for people: never the password."""
        at = self.client()
        return f"{at['interface']}://{at['username']}@{at['host']}:{at['port']}/{at['database']}"

    def client(self) -> dict[str, Any]:
        """Return keyword arguments that every clickhouse-connect client takes."""
        parts = urlsplit(self.url.get_secret_value())
        return {
            "interface": parts.scheme,
            "host": parts.hostname,
            "port": parts.port or (8443 if parts.scheme == "https" else 8123),
            "username": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "database": unquote(parts.path.strip("/")) or "default",
            "autogenerate_session_id": False,
            "show_clickhouse_errors": "scrub",
        }


class ClickHouseUnavailable(Exception):
    """The database cannot be used now; the message says which, where and what to check."""


def connect(settings: ClickHouseSettings, **options: Any) -> Client:
    """Return a client over HTTP, for one thread at a time. ClickHouseUnavailable if it cannot be had."""
    try:
        return clickhouse_connect.get_client(**(settings.client() | options))
    except (ClickHouseError, OSError) as error:
        raise unavailable(settings, error) from None


async def connect_async(settings: ClickHouseSettings, **options: Any) -> AsyncClient:
    """Return an asyncio client over HTTP, safe to share. ClickHouseUnavailable if it cannot be had."""
    try:
        return await clickhouse_connect.get_async_client(**(settings.client() | options))
    except (ClickHouseError, OSError) as error:
        raise unavailable(settings, error) from None


def unavailable(settings: ClickHouseSettings, error: Exception) -> ClickHouseUnavailable:
    """Say what stands between us and the database, for whoever has to mend it."""
    code = getattr(error, "code", None)
    if code == _AUTHENTICATION_FAILED:
        advice = "it refused user and password: check FSWIRE_CLICKHOUSE_URL"
    elif code == _UNKNOWN_DATABASE:
        advice = "it has no such database: check FSWIRE_CLICKHOUSE_URL, or create it"
    elif code is not None:
        advice = f"it answered {error}"
    else:
        advice = "nothing answers there: is it running (`fswire store`), and is FSWIRE_CLICKHOUSE_URL right?"
    return ClickHouseUnavailable(f"ClickHouse at {settings.place}: {advice}")
