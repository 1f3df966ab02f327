"""`fswire schema apply`: the numbered statements of `deploy/clickhouse`, each applied once and recorded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from processors.clickhouse import ClickHouseSettings, connect

_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>\w+)\.sql")
_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32 COMMENT 'Number of the file',
    name String COMMENT 'Name of the file, without number',
    sha256 String COMMENT 'Of the file as it was applied, hexadecimal',
    applied DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = ReplacingMergeTree
ORDER BY version
COMMENT 'What of the schema has been applied'
"""


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


def apply(url: SecretStr) -> list[str]:
    """Bring the database at a URL up to date and return a line for each migration.

    Safe to repeat and to run twice at once. Raises ClickHouseUnavailable, and SchemaRefused where a migration
    that was applied is no longer what it was.
    """
    client = connect(ClickHouseSettings(url=url))
    try:
        client.command(_RECORD)
        rows = client.query("SELECT version, sha256 FROM schema_migrations FINAL").result_rows
        applied: dict[int, str] = dict(rows)
        return [_apply(client, migration, applied) for migration in migrations()]
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


def _apply(client: Client, migration: Migration, applied: dict[int, str]) -> str:
    before = applied.get(migration.version)
    if before == migration.sha256:
        return f"{migration}: already applied"
    if before is not None:
        raise SchemaRefused(
            f"{migration} was applied in another form: add a migration instead of changing one"
        )
    client.command(migration.statement)
    client.insert(
        "schema_migrations",
        [[migration.version, migration.name, migration.sha256]],
        column_names=["version", "name", "sha256"],
        settings={"async_insert": 0},
    )
    return f"{migration}: applied"
