"""What kind of statement a query is, where its inline data begin and in which format it is answered.

Pure. Reads tokens only as far as it must: what follows the FORMAT or VALUES of an INSERT is data, not SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from deploy import store_errors as errors
from deploy.store_errors import StoreError

MARK_CHARS = 32
CLIENTS_QUERY_ID = b"substring(Settings['log_comment'], %d)" % (MARK_CHARS + 1)
"""A query runs under a mark of the store's own, followed by the id that its client knows it by."""

Kind = Literal["select", "insert", "insert_from_input", "session", "temporary", "other"]

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'(?:[^'\\]|\\.|'')*(?:'|\Z)|"(?:[^"\\]|\\.|"")*(?:"|\Z)|`(?:[^`\\]|\\.|``)*(?:`|\Z)
        |\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_DATA = re.compile(rb"[ \t\f]*\r?\n?")
_SELECTING = (b"SELECT", b"WITH", b"FROM", b"(")
_DEFINING = (b"CREATE", b"ALTER", b"ATTACH")
_REACHES_OUT = re.compile(
    rb"FILE|FILECLUSTER|FILELOG|FILESYSTEM|EXECUTABLE|EXECUTABLEPOOL|SQLITE|PYTHON"
    rb"|URL|URLCLUSTER|HTTP|REMOTE|REMOTESECURE|S3\w*|GCS|COSN|OSS|AZURE\w*|HDFS\w*|DELTALAKE\w*|HUDI\w*"
    rb"|ICEBERG\w*|PAIMON\w*|DATALAKECATALOG|MYSQL|POSTGRESQL|MATERIALIZEDPOSTGRESQL|MONGODB|MONGO|REDIS"
    rb"|JDBC|ODBC|YTSAURUS|BIGQUERY|NATS|RABBITMQ|KAFKA|ARROWFLIGHT"
)
"""Functions, engines and sources with which the engine would reach any file of this machine, the interpreter
of this process, or another machine: a server asks for a grant, the embedded engine has none to ask for."""
_BEFORE_TABLES = (b"FROM", b"JOIN", b"INTO", b"TABLE", b"DESCRIBE", b"DESC", b"EXISTS", b"IN", b",", b".")


class Token(NamedTuple):
    """A token in upper case (quoted text as it stands), its place, and how many brackets are open."""

    text: bytes
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class Statement:
    """A query split into what the engine is given and what stands beside it."""

    text: bytes
    """For an INSERT with data: without its FORMAT or VALUES."""
    kind: Kind
    format: bytes | None = None
    """Of the answer or, for an INSERT with data, of the data."""
    data_at: int | None = None
    """Where in the query the inline data of an INSERT begin."""
    outfile_at: int | None = None
    """Where in `text` an INTO OUTFILE can be put, before FORMAT."""


def read(query: bytes) -> Statement:
    """Classify a query as it came. Raises StoreError for what ClickHouse refuses over HTTP.

    The query may be cut off within the data of an INSERT, never before them.
    """
    tokens = _tokens(query)
    head = next(tokens, None)
    if head is None:
        raise StoreError(
            errors.SYNTAX_ERROR, "Syntax error (Empty query): failed at position 1 (end of query)"
        )
    if head.text in (b"INSERT", b"WITH"):
        inserting = _insert(query, tokens, head)
        if inserting is not None:
            return inserting
    return _ordinary(query, list(_tokens(query)), head.text)


def with_outfile(statement: Statement, path: str, default_format: bytes) -> bytes:
    """Return a SELECT that writes its answer to a file of ours, in the format it asks for."""
    assert statement.outfile_at is not None
    head, tail = statement.text[: statement.outfile_at], statement.text[statement.outfile_at :]
    outfile = b" INTO OUTFILE '%b' TRUNCATE " % quoted(path.encode())
    return head + outfile + (tail or b"FORMAT " + default_format)


def with_input_file(statement: Statement, path: str) -> bytes:
    """Return an INSERT … SELECT … FROM input('…') that reads a file of ours instead."""
    text = statement.text
    for token, bracket in pairwise(_tokens(text)):
        if token.text == b"INPUT" and bracket.text == b"(":
            source = b"file('%b', '%b', " % (quoted(path.encode()), statement.format or b"Values")
            return text[: token.start] + source + text[bracket.end :]
    raise AssertionError("only called for a statement that names input()")


def quoted(text: bytes) -> bytes:
    """Escape text for the inside of a string literal."""
    return text.replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _tokens(query: bytes) -> Iterator[Token]:
    depth = 0
    for match in _TOKEN.finditer(query):
        if match["space"] is not None:
            continue
        text = match.group().upper() if match["word"] is not None else match.group()
        if text == b"(":
            yield Token(text, match.start(), match.end(), depth)
            depth += 1
            continue
        if text == b")":
            depth -= 1
        yield Token(text, match.start(), match.end(), depth)


def _insert(query: bytes, tokens: Iterator[Token], before: Token) -> Statement | None:
    inserting = before.text == b"INSERT"
    selecting: Token | None = None
    takes_input = False
    for token in tokens:
        _refuse_reach(before, token)
        if not inserting:
            inserting = token.text == b"INSERT" and token.depth == 0
            if token.text == b"SELECT" and token.depth == 0:
                return None
        elif token.text == b"(" and before.text == b"INPUT":
            takes_input = True
        elif token.depth == 0 and before.text == b"FORMAT" and token.text[:1].isalpha():
            return _with_data(query, before, token, takes_input, selecting)
        elif token.depth == 0 and token.text == b"VALUES" and selecting is None:
            return Statement(query[: token.start], "insert", b"Values", token.end)
        elif token.depth == 0 and token.text in (b"SELECT", b"WITH") and selecting is None:
            selecting = token
        elif token.text == b"INFILE" and before.text == b"FROM":
            raise StoreError(errors.UNKNOWN_TYPE_OF_QUERY, "Query has infile and was send directly to server")
        before = token
    return Statement(query, "insert_from_input" if takes_input else "other")


def _with_data(
    query: bytes, word: Token, name: Token, takes_input: bool, selecting: Token | None
) -> Statement:
    format_name = query[name.start : name.end]
    if selecting is not None and not takes_input:
        return Statement(query, "other", format_name)
    data = _DATA.match(query, name.end)
    assert data is not None
    kind: Kind = "insert_from_input" if takes_input else "insert"
    return Statement(query[: word.start], kind, format_name, data.end())


def _ordinary(query: bytes, tokens: list[Token], first: bytes) -> Statement:
    end = _end(tokens)
    format_at, format_name = _trailing_format(query, tokens)
    defining = any(token.text in _DEFINING for token in tokens)
    for index, (before, token) in enumerate(pairwise(tokens)):
        # what an index is called has a parenthesis behind it as well
        if not (defining and index and tokens[index - 1].text == b"INDEX"):
            _refuse_reach(before, token)
        if before.text == b"INTO" and token.text == b"OUTFILE":
            raise StoreError(errors.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    text = _killed_by_mark(query[:end], tokens) if first == b"KILL" else query[:end]
    statement = Statement(text, _kind(tokens, first), format_name)
    if statement.kind == "select":
        return replace(statement, outfile_at=end if format_at is None else format_at)
    return statement


def _killed_by_mark(query: bytes, tokens: list[Token]) -> bytes:
    """The engine gives queries ids of its own; the client's is in the mark that they run under."""
    for token in reversed(tokens):
        if token.text.strip(b'"`').upper() == b"QUERY_ID":
            query = query[: token.start] + CLIENTS_QUERY_ID + query[token.end :]
    return query


def _end(tokens: list[Token]) -> int:
    """Where the statement ends; what follows a semicolon may only be more of them."""
    for index, token in enumerate(tokens):
        if token.text == b";":
            if any(later.text != b";" for later in tokens[index + 1 :]):
                raise StoreError(errors.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
            return token.start
    return tokens[-1].end


def _trailing_format(query: bytes, tokens: list[Token]) -> tuple[int | None, bytes | None]:
    for index in range(len(tokens) - 2, 0, -1):
        word, name = tokens[index], tokens[index + 1]
        if word.text == b"FORMAT" and word.depth == 0 and name.text[:1].isalpha():
            after = tokens[index + 2].text if index + 2 < len(tokens) else b";"
            if after in (b";", b"SETTINGS"):
                return word.start, query[name.start : name.end]
    return None, None


def _kind(tokens: list[Token], first: bytes) -> Kind:
    if first in _SELECTING:
        return "select"
    if first in (b"SET", b"USE"):
        return "session"
    opening = [token.text for token in tokens[:4]]
    return "temporary" if first == b"CREATE" and b"TEMPORARY" in opening else "other"


def _refuse_reach(before: Token, token: Token) -> None:
    """Refuse a call that reaches out, and a table named like a file, which the engine would open."""
    name = before.text.strip(b'"`').upper()
    if token.text == b"(" and _REACHES_OUT.fullmatch(name):
        raise StoreError(
            errors.DATABASE_ACCESS_DENIED, f"{name.decode().lower()}() is not allowed in this database"
        )
    if before.text in _BEFORE_TABLES and _names_file(token, strings=before.text not in (b",", b".", b"IN")):
        raise StoreError(errors.DATABASE_ACCESS_DENIED, "Files are not tables in this database")


def _names_file(token: Token, *, strings: bool) -> bool:
    quote = token.text[:1]
    quoted_name = quote in (b'"', b"`") or (strings and quote == b"'")
    return quoted_name and (b"/" in token.text or b"\\" in token.text)
