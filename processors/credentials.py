"""Secrets of keys and ingress tokens: made here, kept only as hashes, compared in constant time.

A key's secret is 256 random bits, so a plain digest protects it. A token is chosen by people: it gets a
salted scrypt, and a verdict on it is remembered under a digest keyed with a random number of this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence

from processors.registry import Key

SCOPES = frozenset(
    (
        "directory_monitor:read",
        "directory_monitor:write",
        "filemonitor:read",
        "filemonitor:write",
        "sql:read",
        "admin",
        "DIRECTORY_MONITOR_READ",
        "DIRECTORY_MONITOR_WRITE",
    )
)

_DIGEST = "sha256$"
_SCRYPT = "scrypt$"
_COST = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
"""16 MiB and some 40 ms for one guess (RFC 7914)."""
_REMEMBERED = 10_000
_process_key = secrets.token_bytes(32)
_verdicts: dict[bytes, bool] = {}


def new_key(scopes: Sequence[str], projects: Sequence[str], expires_in_ns: int | None) -> tuple[Key, str]:
    """Return a new key, not yet in the registry, and its credential `ID.SECRET`, which nothing else holds.

    `projects` are patterns as fnmatch takes them. Raises ValueError on an unknown scope.
    """
    unknown = sorted(set(scopes) - SCOPES)
    if unknown:
        raise ValueError(f"unknown scope {unknown[0]!r}; there are {', '.join(sorted(SCOPES))}")
    identity, secret = "key_" + secrets.token_hex(8), secrets.token_urlsafe(32)
    now = time.time_ns()
    key = Key(
        id=identity,
        secret_hash=_DIGEST + hashlib.sha256(secret.encode()).hexdigest(),
        scopes=list(scopes),
        projects=list(projects),
        created_ns=now,
        expires_ns=now + expires_in_ns if expires_in_ns is not None else None,
    )
    return key, f"{identity}.{secret}"


def hash_secret(secret: str) -> str:
    """Return the salted hash of a secret that a person chose, such as an ingress token."""
    salt = secrets.token_bytes(16)
    return f"{_SCRYPT}{_base64(salt)}${_base64(hashlib.scrypt(_bytes(secret), salt=salt, **_COST))}"


def verify(secret: str, hashed: str) -> bool:
    """Tell whether a secret is the one that was hashed; a hash of an unknown form never matches.

    Takes microseconds for keys, and for a token that was verified lately; tens of milliseconds for another.
    """
    if hashed.startswith(_DIGEST):
        digest = hashlib.sha256(_bytes(secret)).hexdigest()
        return hmac.compare_digest(_DIGEST + digest, hashed)
    if not hashed.startswith(_SCRYPT):
        return False
    name = hmac.digest(_process_key, _bytes(f"{hashed}\0{secret}"), "sha256")
    verdict = _verdicts.pop(name, None)
    if verdict is None:
        verdict = _verify_scrypt(secret, hashed)
    _remember(name, verdict)
    return verdict


def _remember(name: bytes, verdict: bool) -> None:
    _verdicts[name] = verdict
    while len(_verdicts) > _REMEMBERED:
        del _verdicts[next(iter(_verdicts))]


def _verify_scrypt(secret: str, hashed: str) -> bool:
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in hashed[len(_SCRYPT) :].split("$"))
    except ValueError:
        return False
    return hmac.compare_digest(hashlib.scrypt(_bytes(secret), salt=salt, **_COST), expected)


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
