"""A request as ClickHouse's HTTP interface reads it: credentials, query, settings, parameters, tables."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from deploy import store_errors as errors
from deploy.store_engine import Scope
from deploy.store_errors import StoreError

_NOT_SETTINGS = frozenset(
    (
        *("query", "database", "default_format", "user", "password", "quota_key", "query_id", "role"),
        *(
            "compress",
            "decompress",
            "stacktrace",
            "buffer_size",
            "wait_end_of_query",
            "client_protocol_version",
        ),
        *("session_id", "session_timeout", "session_check", "close_session"),
    )
)
_OF_TABLES = ("_format", "_types", "_structure")
_PARAMETER = "param_"
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """Method, path, URL parameters (the last of a name wins) and headers, names in lower case."""

    method: str
    path: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Request:
        """Read an ASGI scope."""
        pairs = parse_qsl(
            scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape"
        )
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        return cls(scope["method"], scope["path"], dict(pairs), headers)

    def credentials(self) -> tuple[str, str]:
        """Return user and password, from headers, Basic authentication or the URL, as ClickHouse prefers."""
        user, key = self.headers.get("x-clickhouse-user", ""), self.headers.get("x-clickhouse-key", "")
        if user or key:
            return user or "default", key
        if "authorization" in self.headers:
            return _basic(self.headers["authorization"])
        return self.params.get("user", "default"), self.params.get("password", "")

    def flag(self, name: str) -> bool:
        """Return a parameter that is off unless given as 1 or true."""
        return self.params.get(name, "0").lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number. StoreError if it is none."""
        value = self.params.get(name, "")
        if not value:
            return default
        if not value.isdecimal():
            raise StoreError(errors.BAD_REQUEST_PARAMETER, f"Not a whole number: {name}={value!r}")
        return int(value)

    @property
    def query(self) -> bytes:
        """The part of the query that is in the URL."""
        return self.params.get("query", "").encode("utf-8", "surrogateescape")

    @property
    def boundary(self) -> bytes | None:
        """Of a multipart form; None where the body is not one."""
        content_type = self.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            return None
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise StoreError(errors.BAD_REQUEST_PARAMETER, "A multipart form without a boundary")
        return found[1].encode("latin-1")

    @property
    def default_format(self) -> bytes:
        """The format of an answer whose query names none."""
        name = self.headers.get("x-clickhouse-format") or self.params.get("default_format")
        return (name or "TabSeparated").encode()

    def scope(self, mark: str, fields: Mapping[str, bytes]) -> Scope:
        """Return what holds for the query alone; `fields` are those of a form, which may add parameters."""
        in_form = {name: value.decode("utf-8", "surrogateescape") for name, value in fields.items()}
        given = {**in_form, **self.params}
        settings = {name: value for name, value in self.params.items() if self._is_setting(name)}
        if self.method in ("GET", "HEAD") and settings.get("readonly", "0") == "0":
            settings["readonly"] = "2"
        parameters = {
            name.removeprefix(_PARAMETER): value
            for name, value in given.items()
            if name.startswith(_PARAMETER)
        }
        database = self.headers.get("x-clickhouse-database") or self.params.get("database", "")
        settings.pop("log_comment", None)  # it is where the mark stands
        return Scope(settings, parameters, database, mark)

    def structure_of(self, table: str) -> tuple[str, str]:
        """Return structure and format of a table that came with the request. StoreError if untold."""
        structure = self.params.get(f"{table}_structure")
        if structure is None:
            types = self.params.get(f"{table}_types")
            if types is None:
                raise StoreError(
                    errors.BAD_ARGUMENTS,
                    f"Neither structure nor types have not been provided for external table {table}. "
                    f"Use fields {table}_structure or {table}_types to do so.",
                )
            structure = ", ".join(f"_{index} {name}" for index, name in enumerate(types.split(","), 1))
        return structure, self.params.get(f"{table}_format", "TabSeparated")

    def _is_setting(self, name: str) -> bool:
        if not name or name in _NOT_SETTINGS or name.startswith(_PARAMETER):
            return False
        return self.boundary is None or not name.endswith(_OF_TABLES)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise StoreError(
            errors.AUTHENTICATION_FAILED,
            f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported",
        )
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise StoreError(errors.AUTHENTICATION_FAILED, "Invalid authentication: not user:password") from None
    return user, password
