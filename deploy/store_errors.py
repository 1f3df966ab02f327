"""Errors as ClickHouse answers them over HTTP: a numbered code, its name, a status, one line of text.

StoreError
└── EngineError    refused by the engine; code and name read from its message
"""

from __future__ import annotations

import re

AUTHENTICATION_FAILED = 516
BAD_ARGUMENTS = 36
BAD_REQUEST_PARAMETER = 408
CANNOT_DECOMPRESS = 271
CHECKSUM_DOESNT_MATCH = 40
DATABASE_ACCESS_DENIED = 291
INTO_OUTFILE_NOT_ALLOWED = 358
NOT_IMPLEMENTED = 48
QUERY_WAS_CANCELLED = 394
READONLY = 164
SESSION_IS_LOCKED = 373
SESSION_NOT_FOUND = 372
SYNTAX_ERROR = 62
TOO_MANY_SIMULTANEOUS_QUERIES = 202
UNKNOWN_EXCEPTION = 1002
UNKNOWN_TYPE_OF_QUERY = 78

NAMES = {
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    BAD_REQUEST_PARAMETER: "BAD_REQUEST_PARAMETER",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    CHECKSUM_DOESNT_MATCH: "CHECKSUM_DOESNT_MATCH",
    DATABASE_ACCESS_DENIED: "DATABASE_ACCESS_DENIED",
    INTO_OUTFILE_NOT_ALLOWED: "INTO_OUTFILE_NOT_ALLOWED",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    QUERY_WAS_CANCELLED: "QUERY_WAS_CANCELLED",
    READONLY: "READONLY",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    UNKNOWN_EXCEPTION: "UNKNOWN_EXCEPTION",
    UNKNOWN_TYPE_OF_QUERY: "UNKNOWN_TYPE_OF_QUERY",
}

# ClickHouse, src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; every other code is 500.
_STATUS_OF = {
    401: (194,),
    403: (192, 193, 497, 512, 516),
    400: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117),
        *(123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    ),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUS_OF.items() for code in codes}
_ENGINE_MESSAGE = re.compile(r"Code: (?P<code>\d+)\. DB::Exception: (?P<text>.*)", re.DOTALL)
_VERSION = re.compile(r" \(version [^()]*\)")
_NAME = re.compile(r" ?\((?P<name>[A-Z][A-Z0-9_]+)\)$")


class StoreError(Exception):
    """A refusal with ClickHouse's code; `str` is the message without code, name and version."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.name = name or NAMES.get(code, "UNKNOWN_EXCEPTION")

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse gives this code."""
        return _STATUS.get(self.code, 500)

    def line(self, version: str) -> str:
        """Return the text of the answer, in the form that clients parse."""
        return f"Code: {self.code}. DB::Exception: {self} ({self.name}) (version {version})\n"


class EngineError(StoreError):
    """What the engine said; made from the text of its exception."""

    @classmethod
    def read(cls, message: str) -> EngineError:
        """Return the error in an engine's message; anything unreadable is UNKNOWN_EXCEPTION."""
        found = _ENGINE_MESSAGE.search(message)
        if found is None:
            return cls(UNKNOWN_EXCEPTION, message)
        text = _VERSION.sub("", found["text"]).strip()
        name = _NAME.search(text)
        return cls(int(found["code"]), text[: name.start()] if name else text, name and name["name"])
