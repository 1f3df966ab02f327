"""Who a request comes from: its credentials, and whether their key allows what it asks for. Pure."""

from __future__ import annotations

import base64
import binascii
from fnmatch import fnmatchcase
from typing import NamedTuple

from api.errors import Forbidden, Unauthorized
from processors.credentials import verify
from processors.registry import Key

READ = "directory_monitor:read"
WRITE = "directory_monitor:write"
SQL = "sql:read"
FILES_READ = "filemonitor:read"
FILES_WRITE = "filemonitor:write"
ADMIN = "admin"
_SPELLINGS = {
    READ: frozenset((READ, "DIRECTORY_MONITOR_READ", ADMIN)),
    WRITE: frozenset((WRITE, "DIRECTORY_MONITOR_WRITE", ADMIN)),
    SQL: frozenset((SQL, ADMIN)),
    FILES_READ: frozenset((FILES_READ, ADMIN)),
    FILES_WRITE: frozenset((FILES_WRITE, ADMIN)),
    ADMIN: frozenset((ADMIN,)),
}

_NOBODY = "sha256$" + "0" * 64
"""Compared with the secret of a key that is not known, so that it takes as long to refuse as a known one."""


class Credentials(NamedTuple):
    """Id and secret of a key, as a client sent them."""

    key_id: str
    secret: str


def parse(authorization: bytes | None) -> Credentials:
    """Read `Bearer ID.SECRET`, `Basic base64(ID:SECRET)` or `ApiKey ID:SECRET`; Unauthorized on any other."""
    if authorization is None:
        raise Unauthorized("a key is required: Authorization: Bearer ID.SECRET", code="key_missing")
    scheme, _, rest = authorization.decode("latin-1").partition(" ")
    match scheme.lower():
        case "bearer":
            key_id, separator, secret = rest.strip().partition(".")
        case "apikey":
            key_id, separator, secret = rest.strip().partition(":")
        case "basic":
            key_id, separator, secret = _decoded(rest).partition(":")
        case _:
            raise Unauthorized("Authorization must be Bearer, Basic or ApiKey", code="key_malformed")
    if not (separator and key_id and secret):
        raise Unauthorized("Authorization must hold a key's id and secret", code="key_malformed")
    return Credentials(key_id, secret)


def check_secret(key: Key | None, credentials: Credentials, now_ns: int) -> Key:
    """Return the key if it is known, its secret is right, and it is neither revoked nor expired.

    Unauthorized does not say which of these it was.
    """
    right = verify(credentials.secret, key.secret_hash if key is not None else _NOBODY)
    if key is None or not right:
        raise Unauthorized("unknown key", code="key_unknown")
    return check_counts(key, now_ns)


def check_counts(key: Key | None, now_ns: int) -> Key:
    """Return the key if it is known and neither revoked nor expired; else Unauthorized."""
    if key is None or key.revoked or (key.expires_ns is not None and key.expires_ns <= now_ns):
        raise Unauthorized("unknown key", code="key_unknown")
    return key


def check_scope(key: Key, scope: str) -> None:
    """Refuse with Forbidden a key that lacks the scope; `admin` has them all."""
    if not has_scope(key, scope):
        raise Forbidden(f"the key lacks the scope {scope}", code="scope_missing")


def has_scope(key: Key, scope: str) -> bool:
    """Tell whether a key has a scope, in either spelling; `admin` has them all."""
    return not _SPELLINGS[scope].isdisjoint(key.scopes)


def check_project(key: Key, project: str) -> None:
    """Refuse with Forbidden a key that is bound to other projects."""
    if not covers(key, project):
        raise Forbidden("the key is bound to other projects", code="project_not_covered")


def covers(key: Key, project: str) -> bool:
    """Tell whether a key reaches a project."""
    return covers_all(key) or any(fnmatchcase(project, pattern) for pattern in key.projects)


def covers_all(key: Key) -> bool:
    """Tell whether a key reaches every project: `*` among its patterns, or an admin bound to none."""
    return "*" in key.projects or (ADMIN in key.scopes and not key.projects)


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthorized("Basic must be base64 of ID:SECRET", code="key_malformed") from None
