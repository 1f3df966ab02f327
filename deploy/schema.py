"""`fswire schema apply`: the numbered statements of `deploy/clickhouse`, each applied once and recorded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set
from dataclasses import dataclass
from importlib import resources
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr

from deploy import ddl
from processors.clickhouse import ClickHouseSettings, connect, unavailable

_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>\w+)\.sql")
_RECORD = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32 COMMENT 'Number of the file',
    name String COMMENT 'Name of the file, without number',
    sha256 String COMMENT 'Of the file as it was applied, hexadecimal',
    applied DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = ReplacingMergeTree
ORDER BY version
COMMENT 'What of the schema has been applied'"""
_THERE = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"


class SchemaRefused(Exception):
    """The schema cannot be applied as it stands; the message names the migration."""


@dataclass(frozen=True)
class Migration:
    """One file: one statement that leaves things as they are when it is repeated."""

    version: int
    name: str
    statement: str

    @property
    def sha256(self) -> str:
        """Digest of the statement, by which a later change of the file is noticed."""
        return hashlib.sha256(self.statement.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def apply(url: SecretStr, *, keep_days: int | None = None, cluster: str | None = None) -> list[str]:
    """Bring the database at a URL up to date and return a line for each migration, and each change of a TTL.

    `keep_days` and `cluster` are settings (`FSWIRE_CLICKHOUSE_…`) where they are not given here; without
    `keep_days` tables keep the TTL that they have. Safe to repeat and to run twice at once. Raises
    ClickHouseUnavailable, and SchemaRefused where a migration that was applied is no longer what it was.
    """
    given: dict[str, Any] = {"keep_days": keep_days, "cluster": cluster}
    settings = ClickHouseSettings(
        url=url, **{name: value for name, value in given.items() if value is not None}
    )
    client = connect(settings)
    try:
        client.command(ddl.everywhere(_RECORD, settings.cluster))
        rows = client.query("SELECT version, sha256 FROM schema_migrations FINAL").result_rows
        applied: dict[int, str] = dict(rows)
        there = _there(client).keys()
        lines = [_apply(client, migration, applied, there, settings.cluster) for migration in migrations()]
        if settings.keep_days is not None:
            lines += _keep(client, settings.keep_days, settings.cluster)
        return lines
    except Error as error:
        raise unavailable(settings, error) from None
    finally:
        client.close()


def migrations() -> list[Migration]:
    """Return what `deploy/clickhouse` holds, in order."""
    found = []
    for file in resources.files("deploy").joinpath("clickhouse").iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            statement = file.read_text("utf-8").strip().removesuffix(";")
            found.append(Migration(int(match["version"]), match["name"], statement))
    return sorted(found, key=lambda migration: migration.version)


def _keep(client: Client, days: int, cluster: str | None) -> list[str]:
    """Give the tables that grow their TTL, or take it away; return a line for each that was changed."""
    lines, engines = [], _there(client)
    for table in ddl.KEPT:
        if ddl.days_kept(engines[ddl.stored(table, cluster)]) != days:
            client.command(ddl.keep(table, days, cluster))
            lines.append(f"{table}: rows are kept for {f'{days} days' if days else 'ever'}")
    return lines


def _there(client: Client) -> dict[str, str]:
    """Return the engine of every table and view of the database."""
    return dict(client.query(_THERE).result_rows)


def _apply(
    client: Client, migration: Migration, applied: dict[int, str], there: Set[str], cluster: str | None
) -> str:
    """Execute a migration that was not yet, or whose table somebody dropped; say what was done."""
    before = applied.get(migration.version)
    if before == migration.sha256 and there >= set(ddl.creates(migration.statement, cluster)):
        return f"{migration}: already applied"
    if before not in (None, migration.sha256):
        raise SchemaRefused(
            f"{migration} was applied in another form: add a migration instead of changing one"
        )
    for statement in ddl.statements(migration.statement, cluster):
        client.command(statement)
    client.insert(
        "schema_migrations",
        [[migration.version, migration.name, migration.sha256]],
        column_names=["version", "name", "sha256"],
        settings={"async_insert": 0},
    )
    return f"{migration}: applied"
