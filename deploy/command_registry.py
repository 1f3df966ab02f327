"""`fswire project …` and `fswire key …`: what the registry topic holds, written and listed."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.kafka import KafkaSettings
from agent.paths import is_project_id
from deploy import connection, output
from deploy.connection import DataDir
from deploy.extras import needs
from deploy.watched import PROBE_PROJECT

if TYPE_CHECKING:
    from processors.registry import Registry

projects = typer.Typer(help="Projects: one tree of files each.", no_args_is_help=True)
keys = typer.Typer(help="Keys of the api.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="What stands before the dot.")]

_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,128}")


_LONGEST_NS = 36_525 * 86400 * 10**9
"""A hundred years: later moments leave 64 bits of nanoseconds, and the years that a date can have."""
_LAST_NS = 253_402_300_799 * 10**9
"""The end of the year 9999."""


class ArgumentRefused(ValueError):
    """An argument cannot be meant; the message names it."""


@projects.command("create")
def create_project(
    name: str,
    ingress_token: Annotated[
        str | None,
        typer.Option(metavar="-", help="`-`: read the token that PUTs must carry from standard input."),
    ] = None,
    directory: DataDir = None,
) -> None:
    """Register a project; an existing one keeps what is not given. A token replaces the former at once."""
    connection.use_quietly(directory)
    if not is_project_id(name):
        raise ArgumentRefused(f"{name!r} is no project id: 1 to 128 letters, digits, '_', '.', '-'")
    token = _token(ingress_token)
    with needs("server"):
        from processors.credentials import hash_secret
        from processors.registry import Project, write

    async def create() -> None:
        kafka = KafkaSettings()
        async with reading_registry(kafka) as registry:
            former = registry.project(name)
        if token or former is None:
            created_ns = former.created_ns if former else time.time_ns()
            hashed = hash_secret(token) if token else None
            former = Project(id=name, created_ns=created_ns, ingress_token_hash=hashed)
        await write(kafka, former)

    asyncio.run(create())


@projects.command("rotate-token")
def rotate_token(
    name: str,
    ingress_token: Annotated[
        str, typer.Option(metavar="-", help="`-`: read the new token from standard input.")
    ],
    overlap: Annotated[
        str, typer.Option(help="How long the former token counts as well, such as 90m, 24h; 0s: no longer.")
    ] = "24h",
    directory: DataDir = None,
) -> None:
    """Give a project a new ingress token; the former one counts beside it for a time. Prints until when."""
    connection.use_quietly(directory)
    overlap_ns = duration_ns(overlap)
    until_ns = asyncio.run(_rotated(name, _token(ingress_token), overlap_ns))
    print(f"{name}: the former token counts until {_moment(until_ns)}")


async def _rotated(name: str, token: str | None, overlap_ns: int) -> int:
    """Write a project's new token down; return until when the former one counts. Raises ArgumentRefused."""
    with needs("server"):
        import msgspec

        from processors.credentials import hash_secret
        from processors.registry import write
    kafka = KafkaSettings()
    async with reading_registry(kafka) as registry:
        project = registry.project(name)
    if project is None or project.ingress_token_hash is None or token is None:
        raise ArgumentRefused(f"there is no project {name!r} with an ingress token")
    until_ns = time.time_ns() + overlap_ns
    rotated = msgspec.structs.replace(
        project,
        ingress_token_hash=hash_secret(token),
        former_token_hash=project.ingress_token_hash,
        former_token_until_ns=until_ns,
    )
    await write(kafka, rotated)
    return until_ns


@projects.command("allow")
def allow_pattern(pattern: str, directory: DataDir = None) -> None:
    """Let agents register projects whose name matches PATTERN (`*`, `?`, `[…]`)."""
    connection.use_quietly(directory)
    if not _PATTERN.fullmatch(pattern):
        raise ArgumentRefused(f"{pattern!r} is no pattern of project ids")
    with needs("server"):
        from processors.registry import Pattern, write
    asyncio.run(write(KafkaSettings(), Pattern(pattern=pattern, created_ns=time.time_ns())))


@projects.command("list")
def list_projects(directory: DataDir = None) -> None:
    """Print projects and patterns."""
    connection.use_quietly(directory)

    now_ns = time.time_ns()

    async def read() -> list[tuple[object, ...]]:
        async with reading_registry(KafkaSettings()) as registry:
            named = [
                (
                    "project",
                    one.id,
                    _moment(one.created_ns),
                    one.ingress_token_hash is not None,
                    _moment(one.former_token_until_ns) if one.former_token_until_ns > now_ns else None,
                )
                for one in registry.projects.values()
                if one.id != PROBE_PROJECT
            ]
            patterns = [
                ("pattern", one.pattern, _moment(one.created_ns), False, None)
                for one in registry.patterns.values()
            ]
            return sorted([*named, *patterns])

    columns = ("kind", "name", "created", "ingress_token", "former_token_until")
    output.rows(columns, asyncio.run(read()))


@projects.command("delete")
def delete_project(name: str, directory: DataDir = None) -> None:
    """Take a project or a pattern out of the registry; its events stay."""
    connection.use_quietly(directory)
    with needs("server"):
        from processors.registry import delete

    async def remove() -> None:
        kafka = KafkaSettings()
        async with reading_registry(kafka) as registry:
            known = name in registry.projects, name in registry.patterns
        if not any(known):
            raise ArgumentRefused(f"there is no project or pattern {name!r}")
        if known[0]:
            await delete(kafka, "project", name)
        if known[1]:
            await delete(kafka, "pattern", name)

    asyncio.run(remove())


@keys.command("create")
def create_key(
    project: Annotated[list[str], typer.Option(help="Project or pattern that the key may touch.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, such as directory_monitor:read.")],
    expires_in: Annotated[str | None, typer.Option(help="Such as 90d, 12h.")] = None,
    directory: DataDir = None,
) -> None:
    """Make a key and print it, ID.SECRET, alone on standard output, this once."""
    connection.use_quietly(directory)
    if wrong := [pattern for pattern in project if not _PATTERN.fullmatch(pattern)]:
        raise ArgumentRefused(f"{wrong[0]!r} is no project id or pattern")
    with needs("server"):
        from processors.credentials import new_key
        from processors.registry import write
    try:
        key, text = new_key(scope, project, duration_ns(expires_in) if expires_in else None)
    except ValueError as error:
        raise ArgumentRefused(str(error)) from error
    asyncio.run(write(KafkaSettings(), key))
    print(text)


@keys.command("list")
def list_keys(directory: DataDir = None) -> None:
    """Print the keys, without their secrets."""
    connection.use_quietly(directory)

    async def read() -> list[tuple[object, ...]]:
        async with reading_registry(KafkaSettings()) as registry:
            return [
                (
                    key.id,
                    " ".join(key.scopes),
                    " ".join(key.projects),
                    _moment(key.created_ns),
                    _moment(key.expires_ns) if key.expires_ns else None,
                    key.revoked,
                )
                for key in sorted(registry.keys.values(), key=lambda key: key.created_ns)
            ]

    output.rows(("id", "scopes", "projects", "created", "expires", "revoked"), asyncio.run(read()))


@keys.command("revoke")
def revoke_key(
    key_id: KeyId,
    directory: DataDir = None,
) -> None:
    """Make a key useless from now on."""
    _change_key(key_id, directory, revoked=True)


@keys.command("expire")
def expire_key(
    key_id: KeyId,
    expires_in: Annotated[str, typer.Option("--in", help="From now, such as 90d, 12h.")],
    directory: DataDir = None,
) -> None:
    """Let a key end later: at another time than it was made with, or at all. Prints when."""
    expires_ns = time.time_ns() + duration_ns(expires_in)
    _change_key(key_id, directory, expires_ns=expires_ns)
    print(_moment(expires_ns))


def _change_key(key_id: str, directory: Path | None, **changes: object) -> None:
    connection.use_quietly(directory)
    with needs("server"):
        import msgspec

        from processors.registry import write

    async def change() -> None:
        kafka = KafkaSettings()
        async with reading_registry(kafka) as registry:
            key = registry.key(key_id.partition(".")[0])
        if key is None:
            raise ArgumentRefused(f"there is no key {key_id.partition('.')[0]!r}")
        await write(kafka, msgspec.structs.replace(key, **changes))

    asyncio.run(change())


def duration_ns(text: str) -> int:
    """Return a duration such as `90d`, `12h`, `30m` in nanoseconds. Raises ArgumentRefused."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if not found:
        raise ArgumentRefused(f"{text!r} is no duration: a number and one of s, m, h, d, w, such as 90d")
    duration = int(found[1]) * _NS[found[2]]
    if duration > _LONGEST_NS:
        raise ArgumentRefused(f"{text!r} is too long: a hundred years (36525d) at most")
    return duration


@asynccontextmanager
async def reading_registry(kafka: KafkaSettings) -> AsyncIterator[Registry]:
    with needs("server"):
        from processors.registry import Registry
    registry = Registry(kafka)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()


def _token(source: str | None) -> str | None:
    """Read the token; it is never an argument, where every user of the machine could see it."""
    if source is None:
        return None
    if source != "-":
        raise ArgumentRefused("--ingress-token takes `-` alone: the token is read from standard input")
    token = sys.stdin.readline().rstrip("\r\n")
    if not token:
        raise ArgumentRefused("standard input held no token")
    return token


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(min(ns, _LAST_NS) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
